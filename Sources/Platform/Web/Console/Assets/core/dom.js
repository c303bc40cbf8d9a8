// Builds elements. Text only ever becomes text nodes; there is no way here to insert HTML, and no style attribute
// (the policy of SEC-100 refuses both): set `element.style` from code where a number has to become a length.
const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "hidden", "open", "indeterminate"]);

/**
 * An element with attributes and children. `on…` attributes are listeners, `class` is the class, absent and false values are
 * left out, `true` is the empty attribute, `data-…` and `aria-…` are written as they are.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || (value === false && !name.startsWith("aria-"))) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = Array.isArray(value) ? value.filter(Boolean).join(" ") : value;
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true && !name.startsWith("aria-") ? "" : String(value));
  }
  append(element, children);
  // A select takes its value only once it has its options.
  if (tag === "select" && attributes.value !== undefined && attributes.value !== null) element.value = attributes.value;
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

const SVG = "http://www.w3.org/2000/svg";
/** An element of SVG; the same rules as `h`. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, String(value));
  }
  return append(element, children);
}

/** 32 random hexadecimal digits. `crypto.randomUUID` is missing where the console is served without TLS. */
export function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Loads a style sheet of a lazily loaded page once, and waits for it. */
const sheets = new Map();
export function stylesheet(href) {
  if (!sheets.has(href)) {
    sheets.set(href, new Promise((done, fail) => {
      const link = h("link", { rel: "stylesheet", href, onload: done, onerror: () => { link.remove(); sheets.delete(href); fail(new Error(href)); } });
      document.head.append(link);
    }));
  }
  return sheets.get(href);
}

/**
 * A name that people typed, for showing: control characters and direction overrides can not reorder what stands around it.
 * Use it for names in sentences and titles; elements that hold nothing else use `<bdi>`.
 */
export function name(text) {
  return String(text ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, "");
}

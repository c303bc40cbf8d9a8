// Builds elements. Text only ever becomes text nodes; there is no way here to insert HTML.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (["value", "checked", "disabled", "selected", "hidden"].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

let fields = 0;
// A labelled input with its hint and its error line.
export function field(label, input, hint) {
  const id = `f${++fields}`;
  input.id = id;
  const error = h("p", { class: "error", id: `${id}-e`, hidden: true });
  input.setAttribute("aria-describedby", hint ? `${id}-h ${id}-e` : `${id}-e`);
  const box = h("div", { class: "field" }, h("label", { for: id }, label), input, hint && h("p", { class: "hint", id: `${id}-h` }, hint), error);
  box.fail = (message) => {
    error.textContent = message ?? "";
    error.hidden = !message;
    input.toggleAttribute("aria-invalid", Boolean(message));
  };
  box.input = input;
  return box;
}

// A bot's mark: its first letter on one of six colours, always the same for the same id.
export function avatar(bot, size = "") {
  let sum = 0;
  for (const char of bot.botId) sum = (sum * 31 + char.charCodeAt(0)) % 997;
  return h("span", { class: `avatar hue${sum % 6} ${size}`, "aria-hidden": "true" }, [...bot.name.trim()][0]?.toUpperCase() ?? "?");
}

// What is shown where nothing is yet.
export function empty(title, text, ...more) {
  return h("div", { class: "empty" }, h("h2", {}, title), h("p", {}, text), more);
}

// Shows a sentence for a few seconds.
export function note(text, kind = "info") {
  const line = h("div", { class: `note ${kind}` }, text);
  document.getElementById("notes").append(line);
  setTimeout(() => line.remove(), kind === "bad" ? 9000 : 4500);
}

export function when(text) {
  const date = new Date(text);
  const today = new Date().toDateString() === date.toDateString();
  return date.toLocaleString(undefined, today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  return count < 1048576 ? `${(count / 1024).toFixed(1)} KB` : `${(count / 1048576).toFixed(1)} MB`;
}

// Runs an action of a button: busy meanwhile, its error as a sentence.
export async function busy(button, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    return await work();
  } catch (error) {
    note(error.message, "bad");
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

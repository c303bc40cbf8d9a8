// Buttons that do something on the server: busy meanwhile, deaf to a second click, errors as a sentence.
import { h } from "../core/dom.js";
import { icon } from "./icon.js";
import { toast } from "./toast.js";

/**
 * Runs the work of a button once. The button stays focusable (a disabled one would lose the keyboard's place) but a second
 * click while it works does nothing. An error becomes a toast unless `failed(error)` takes it.
 */
export async function act(button, work, failed = (error) => toast(error.message, "bad")) {
  if (button.getAttribute("aria-busy") === "true") return undefined;
  button.setAttribute("aria-busy", "true");
  button.setAttribute("aria-disabled", "true");
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") failed(error);
    return undefined;
  } finally {
    button.removeAttribute("aria-busy");
    button.removeAttribute("aria-disabled");
  }
}

/** A button whose click runs `work(button)` through `act`. `kind`: "main", "danger", "quiet" or "". `glyph`: an icon's name. */
export function actButton(label, work, { kind = "", glyph, failed, ...attributes } = {}) {
  const button = h("button", { type: "button", class: kind, ...attributes, onclick: () => act(button, () => work(button), failed) }, glyph && icon(glyph, 18), h("span", {}, label));
  return button;
}

/** A round button with an icon and a name that only screen readers and tooltips tell. */
export function iconButton(glyph, label, onclick, attributes = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...attributes }, icon(glyph));
}

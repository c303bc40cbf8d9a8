// Times that stay true while the page is open.
import { h } from "../core/dom.js";
import { relative, when } from "../core/i18n.js";

/** "3 minutes ago", with the exact time as its title. */
export function ago(value) {
  return h("time", { datetime: value, title: when(value, { full: true }), "data-ago": true }, relative(value));
}

/** A point in time, in a zone where one is given. */
export function at(value, options) {
  return h("time", { datetime: value, title: when(value, { ...options, full: true }) }, when(value, options));
}

setInterval(() => {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const text = relative(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}, 20_000);

// What a place looks like while it has nothing to show: loading, empty, failed.
import { h, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "./icon.js";

/** Grey shapes in the place of what comes. `kind`: "lines", "cards", "rows" or "chat". */
export function skeleton(kind = "lines", count = 3) {
  return h("div", { class: `skeleton ${kind}`, role: "status" }, h("span", { class: "unseen" }, t("state.loading")), Array.from({ length: count }, () => h("i")));
}

/** Nothing is here yet, and what to do about it. */
export function empty(glyph, title, text, ...more) {
  return h("div", { class: "empty" }, h("span", { class: "empty-icon" }, icon(glyph, 28)), h("h2", {}, title), text && h("p", {}, text), more);
}

/** It did not work: the sentence, and another try. */
export function failure(error, retry) {
  return h("div", { class: "failure", role: "alert" }, icon("alert", 22), h("p", { class: "error" }, error.message),
    retry && h("button", { type: "button", onclick: retry }, icon("refresh", 18), h("span", {}, t("action.retry"))));
}

/**
 * A place that loads: the skeleton, then what `render(value)` makes of `load()`'s value, or the error with another try. Answers
 * the element; `element.reload()` loads again (without a skeleton when something is shown).
 */
export function loading(load, render, { placeholder = () => skeleton(), attributes = {} } = {}) {
  const place = h("div", attributes);
  let turn = 0;
  let shown = false;
  place.reload = async () => {
    const mine = ++turn;
    place.setAttribute("aria-busy", "true");
    if (!shown) replace(place, placeholder());
    try {
      const value = await load();
      if (mine !== turn) return;
      replace(place, render(value));
      shown = true;
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      shown = false;
      replace(place, failure(error, place.reload));
    } finally {
      if (mine === turn) place.removeAttribute("aria-busy");
    }
  };
  place.reload();
  return place;
}

/** A tag with a colour: "good", "warn", "bad" or "". */
export function tag(label, tone = "") {
  return h("span", { class: `tag ${tone}` }, label);
}

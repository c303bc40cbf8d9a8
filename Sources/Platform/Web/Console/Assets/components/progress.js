// Long work, as far as it is.
import { h } from "../core/dom.js";
import { bytes, percent, t } from "../core/i18n.js";

/** A bar with a label. `set(done, total)` in bytes; without a total it only moves. `onCancel` adds a button. */
export function progress(label, { onCancel } = {}) {
  const bar = h("progress", { max: 1, "aria-label": label });
  const figure = h("span", { class: "hint" });
  const element = h("div", { class: "progress" }, h("div", { class: "progress-head" }, h("bdi", {}, label), figure), bar,
    onCancel && h("button", { type: "button", class: "quiet", onclick: onCancel }, t("action.cancel")));
  element.set = (done, total) => {
    if (!total) { bar.removeAttribute("value"); figure.textContent = bytes(done); return; }
    bar.value = done / total;
    figure.textContent = `${bytes(done)} / ${bytes(total)} · ${percent(done / total)}`;
  };
  return element;
}

/** How much of an allowance is used; turns amber at 80 %, red when it is used up. */
export function meter(used, limit, label) {
  const share = limit > 0 ? Math.min(1, used / limit) : 1;
  const bar = h("div", { class: ["meter", share >= 1 ? "bad" : share >= 0.8 ? "warn" : ""], role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(share * 100) }, h("i"));
  bar.firstChild.style.width = `${share * 100}%`;
  return bar;
}

/** A part of a whole: no allowance, so no warning colours. */
export function share(part, whole, label) {
  const bar = meter(part, whole, label);
  bar.className = "meter";
  return bar;
}

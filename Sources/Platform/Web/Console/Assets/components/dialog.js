// Dialogs: the browser's own <dialog>, so that focus stays inside, Escape closes and the page behind is inert.
import { append, h, randomId } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { act, iconButton } from "./act.js";

const open = new Set();

/**
 * Shows a dialog; answers `{element, close(value), closed}`, where `closed` is a promise of the value (undefined for Escape).
 * `body` are children; `actions` a row of buttons below; `kind`: "", "wide" or "drawer".
 */
export function openDialog({ title, body = [], actions = [], kind = "" }) {
  const heading = h("h2", { id: `dialog-${randomId()}` }, title);
  const element = h("dialog", { class: kind, "aria-labelledby": heading.id },
    h("div", { class: "dialog-head" }, heading, iconButton("close", t("action.close"), () => close())),
    append(h("div", { class: "dialog-body" }), [body]),
    actions.length > 0 && h("div", { class: "actions end" }, actions));
  const opener = document.activeElement;
  let done;
  const closed = new Promise((resolve) => { done = resolve; });
  const close = (value) => {
    if (!open.delete(element)) return;
    element.close();
    element.remove();
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    done(value);
  };
  element.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  // A press outside closes; a drag that began inside (selecting text) does not.
  element.addEventListener("mousedown", (event) => { if (event.target === element) close(); });
  open.add(element);
  element.leave = close;
  document.body.append(element);
  element.showModal();
  return { element, close, closed };
}

/** Closes every dialog: the page below them is gone. */
export function closeDialogs() {
  for (const element of [...open]) element.leave();
}

/**
 * Asks before something is done; answers whether it was. `work` runs while the dialog is open, so that an error is shown where
 * the question was asked. `type`: a text that must be typed, for what cannot be undone.
 */
export async function confirmDialog({ title, text, action, danger = false, type = null, work = null }) {
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const typed = type !== null && h("input", { autocomplete: "off", "aria-label": t("confirm.type", { text: type }) });
  const submit = h("button", { type: "button", class: danger ? "main danger" : "main", disabled: type !== null }, action);
  const cancel = h("button", { type: "button", onclick: () => dialog.close(false) }, t("action.cancel"));
  if (typed) typed.addEventListener("input", () => { submit.disabled = typed.value.trim() !== type.trim(); });
  const dialog = openDialog({
    title,
    body: [text && h("p", {}, text), typed && h("label", { class: "stack tight" }, h("span", {}, t("confirm.type", { text: type })), typed), error],
    actions: [cancel, submit],
  });
  submit.addEventListener("click", () => act(submit, async () => {
    error.hidden = true;
    if (work) await work();
    dialog.close(true);
  }, (problem) => { error.textContent = problem.message; error.hidden = false; }));
  (typed || cancel).focus();
  return (await dialog.closed) === true;
}

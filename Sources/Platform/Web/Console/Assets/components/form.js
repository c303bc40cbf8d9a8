// Forms: labelled fields with hints, problems shown at the field they belong to, one submission at a time.
import { h, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { act } from "./act.js";

let fields = 0;

/**
 * A labelled input. `name` is the API's field name (`credentials.botToken`): its problems land here. The returned element has
 * `input` and `fail(sentence or nothing)`.
 */
export function field(label, input, { hint, name, optional = false } = {}) {
  const id = `f${++fields}`;
  input.id = id;
  const error = h("p", { class: "error", id: `${id}-e`, hidden: true });
  input.setAttribute("aria-describedby", hint ? `${id}-h ${id}-e` : `${id}-e`);
  const box = h("div", { class: "field" },
    h("label", { for: id }, label, optional && h("span", { class: "optional" }, ` ${t("form.optional")}`)), input, hint && h("p", { class: "hint", id: `${id}-h` }, hint), error);
  box.fail = (message) => {
    error.textContent = message ?? "";
    error.hidden = !message;
    if (message) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
  };
  box.input = input;
  box.field = name;
  input.addEventListener("input", () => box.fail());
  return box;
}

/** A labelled check box: one line, the hint below. The same interface as `field`. */
export function check(label, { checked = false, hint, name } = {}) {
  const id = `f${++fields}`;
  const input = h("input", { type: "checkbox", id, checked, "aria-describedby": hint ? `${id}-h ${id}-e` : `${id}-e` });
  const error = h("p", { class: "error", id: `${id}-e`, hidden: true });
  const box = h("div", { class: "field check" }, h("label", { for: id }, input, h("span", {}, label)), hint && h("p", { class: "hint", id: `${id}-h` }, hint), error);
  box.fail = (message) => { error.textContent = message ?? ""; error.hidden = !message; };
  box.input = input;
  box.field = name;
  return box;
}

/**
 * A form of `children`, of which those made by `field` take problems. `submit()` does the work: it is not called again while
 * it runs. An API error with `errors` is spread over the fields and the first one is focused; any other stands above the buttons.
 */
export function form({ children, label, kind = "main", submit, actions = [], attributes = {} }) {
  const problem = h("p", { class: "error", role: "alert", hidden: true });
  const button = h("button", { type: "submit", class: kind }, label);
  const element = h("form", { class: "stack", novalidate: true, ...attributes }, children, problem, h("div", { class: "actions" }, button, actions));
  const boxes = () => [...element.querySelectorAll(".field")].filter((box) => box.fail);
  element.fail = (message) => { problem.textContent = message ?? ""; problem.hidden = !message; };
  element.submitButton = button;
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    act(button, async () => {
      for (const box of boxes()) box.fail();
      element.fail();
      // The browser's own checks, in our place and our language.
      const wrong = boxes().filter((box) => !box.input.checkValidity());
      for (const box of wrong) box.fail(validity(box.input));
      if (wrong.length) return wrong[0].input.focus();
      await submit();
    }, (error) => spread(error, boxes(), element));
  });
  return element;
}

function validity(input) {
  const state = input.validity;
  if (state.valueMissing) return t("form.required");
  if (state.typeMismatch && input.type === "email") return t("form.email");
  if (state.tooShort) return t("form.tooShort", { count: input.minLength });
  if (state.rangeUnderflow || state.rangeOverflow) return t("form.range", { min: Number(input.min), max: Number(input.max) });
  return input.validationMessage;
}

function spread(error, boxes, element) {
  const rest = [];
  let first = null;
  for (const one of error.errors ?? []) {
    const base = one.field.replace(/\[\d+\].*$/, "");
    const box = boxes.find((candidate) => candidate.field === one.field) ?? boxes.find((candidate) => candidate.field === base);
    if (!box) { rest.push(`${one.field}: ${one.message}`); continue; }
    box.fail(one.message);
    first ??= box;
  }
  if (rest.length || !first) element.fail(rest.join(" ") || error.message);
  first?.input.focus();
}

/** A new password and its repetition. `agree()` says whether both are the same, at the field if not. */
export function newPassword(name = "newPassword") {
  const first = field(t("password.new"), h("input", { type: "password", autocomplete: "new-password", required: true, minlength: 12, maxlength: 128 }), { hint: t("password.hint"), name });
  const second = field(t("password.again"), h("input", { type: "password", autocomplete: "new-password", required: true, maxlength: 128 }));
  return {
    boxes: [first, second],
    get value() { return first.input.value; },
    agree() {
      const same = first.input.value === second.input.value;
      if (!same) { second.fail(t("password.differ")); second.input.focus(); }
      return same;
    },
  };
}

/** Replaces the options of a select: `[[value, label], …]`. */
export function options(select, pairs, value) {
  replace(select, pairs.map(([key, label]) => h("option", { value: key }, label)));
  if (value !== undefined) select.value = value;
  return select;
}

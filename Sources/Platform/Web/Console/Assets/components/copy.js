// A value to take along: shown whole, copied with one press.
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { iconButton } from "./act.js";
import { toast } from "./toast.js";

/** `label` says what the value is, for the button's name. */
export function copyable(value, label) {
  return h("span", { class: "copyable" }, h("code", { dir: "ltr" }, value), iconButton("copy", t("copy.action", { name: label }), async () => {
    try {
      await navigator.clipboard.writeText(value);
      toast(t("copy.done", { name: label }));
    } catch {
      toast(t("copy.refused"), "bad");
    }
  }));
}

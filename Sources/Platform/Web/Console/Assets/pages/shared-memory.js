// What all bots of a user know.
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { memory } from "./memory-editor.js";

export function page({ signal }) {
  return { title: t("nav.memory"), view: h("div", { class: "stack" }, h("h1", {}, t("nav.memory")), memory("/api/shared-memory", t("memory.aboutShared"), { signal })) };
}

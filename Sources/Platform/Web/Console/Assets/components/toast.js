// Short sentences at the edge of the page that go by themselves. What a person must not miss belongs into the page instead.
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "./icon.js";

/** `kind`: "good", "info" or "bad". Stays longer while it is pointed at or focused. */
export function toast(text, kind = "good") {
  const place = document.getElementById("toasts");
  const line = h("div", { class: `toast ${kind}` }, icon(kind === "bad" ? "alert" : "check", 18), h("span", {}, text),
    h("button", { type: "button", class: "icon-button", "aria-label": t("action.dismiss"), onclick: () => line.remove() }, icon("close", 16)));
  place.append(line);
  while (place.children.length > 4) place.firstChild.remove();
  const leave = () => setTimeout(() => { if (line.matches(":hover, :focus-within")) leave(); else line.remove(); }, kind === "bad" ? 9000 : 4500);
  leave();
}

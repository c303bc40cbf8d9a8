// A switch that works on the server: it turns when the server has agreed, and turns back when it has not.
import { h } from "../core/dom.js";
import { toast } from "./toast.js";

/** `turn(on)` does the work; a second press while it works does nothing. `label` is the name for screen readers. */
export function toggle(label, on, turn) {
  const input = h("input", { type: "checkbox", role: "switch", class: "switch", checked: on, "aria-label": label });
  let busy = false;
  input.addEventListener("click", async (event) => {
    if (busy) { event.preventDefault(); return; }
    busy = true;
    const wanted = input.checked;
    input.setAttribute("aria-busy", "true");
    try {
      await turn(wanted);
    } catch (error) {
      input.checked = !wanted;
      if (error.name !== "AbortError") toast(error.message, "bad");
    } finally {
      busy = false;
      input.removeAttribute("aria-busy");
    }
  });
  return h("label", { class: "switch-box" }, input);
}

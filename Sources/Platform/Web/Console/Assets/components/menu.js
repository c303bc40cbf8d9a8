// A button that opens a list of actions: arrows move, Escape and a click elsewhere close, focus goes back to the button.
import { h } from "../core/dom.js";
import { icon } from "./icon.js";

/** `items`: `[{label, glyph?, danger?, current?, run}]`, or a function that makes them at opening. */
export function menu(button, items) {
  const list = h("div", { class: "menu-list", role: "menu", hidden: true });
  const box = h("div", { class: "menu" }, button, list);
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  const entries = () => [...list.children];
  const close = (back = true) => {
    if (list.hidden) return;
    list.hidden = true;
    button.setAttribute("aria-expanded", "false");
    removeEventListener("pointerdown", outside, true);
    if (back) button.focus();
  };
  const outside = (event) => { if (!box.contains(event.target)) close(false); };
  const open = () => {
    list.replaceChildren(...(typeof items === "function" ? items() : items).map((item) => h("button", {
      type: "button", role: item.current === undefined ? "menuitem" : "menuitemradio", tabindex: "-1", class: item.danger ? "danger" : undefined,
      "aria-checked": item.current, onclick: () => { close(); item.run(); },
    }, item.current !== undefined ? h("span", { class: "menu-mark" }, item.current && icon("check", 16)) : item.glyph && icon(item.glyph, 18), h("span", {}, item.label))));
    list.hidden = false;
    button.setAttribute("aria-expanded", "true");
    addEventListener("pointerdown", outside, true);
    // Opens to the side where there is room.
    const room = box.getBoundingClientRect();
    list.classList.toggle("up", innerHeight - room.bottom < list.offsetHeight + 8 && room.top > list.offsetHeight);
    list.classList.toggle("leftwards", room.left + list.offsetWidth > innerWidth - 8);
    (entries().find((entry) => entry.getAttribute("aria-checked") === "true") ?? entries()[0])?.focus();
  };
  button.addEventListener("click", () => (list.hidden ? open() : close()));
  box.addEventListener("keydown", (event) => {
    if (list.hidden) {
      if (event.key === "ArrowDown" && event.target === button) { event.preventDefault(); open(); }
      return;
    }
    const all = entries();
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); all[to % all.length].focus(); }
    if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); close(); }
    if (event.key === "Tab") close(false);
  });
  return box;
}

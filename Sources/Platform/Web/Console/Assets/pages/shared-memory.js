// What all bots of a user know.
import { h } from "../core/dom.js";
import { memory } from "./memory-editor.js";

export function page() {
  return { view: h("div", { class: "stack" }, h("h1", {}, "Shared memory"), memory("/api/shared-memory", "What all of your bots know. Only you can write it.")), title: "Memory" };
}

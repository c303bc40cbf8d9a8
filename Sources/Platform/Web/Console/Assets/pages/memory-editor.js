// The editor of one memory.
import { call } from "../core/api.js";
import { h } from "../core/dom.js";
import { when } from "../core/i18n.js";
import { act } from "../components/act.js";

// Editing with the version it was read in: someone else's change (the agent's) is never overwritten unseen.
export function memory(path, about) {
  const text = h("textarea", { rows: 18, spellcheck: "false", "aria-label": "Memory", class: "paper", placeholder: "Nothing written yet." });
  const info = h("p", { class: "hint", role: "status" }, "Loading …");
  const save = h("button", { type: "button", class: "main", disabled: true }, "Save");
  const again = h("button", { type: "button", class: "quiet" }, "Read again");
  let etag = null;
  const load = async () => {
    const response = await call("GET", path);
    const content = await response.json();
    etag = response.headers.get("ETag");
    text.value = content.content;
    info.textContent = content.updatedAt ? `${content.size.toLocaleString()} bytes, changed ${when(content.updatedAt)}.` : "Nothing written yet.";
    save.disabled = false;
  };
  save.addEventListener("click", () => act(save, async () => {
    try {
      const response = await call("PUT", path, { body: { content: text.value }, headers: etag ? { "If-Match": etag } : {} });
      etag = response.headers.get("ETag");
      info.textContent = "Saved.";
    } catch (error) {
      if (error.status !== 412) throw error;
      info.textContent = "It was changed meanwhile, perhaps by the bot. Copy your text, read again and merge.";
    }
  }));
  again.addEventListener("click", () => act(again, load));
  load().catch((error) => { info.textContent = error.message; });
  return h("div", { class: "card stack" }, h("p", { class: "hint" }, about), text, info, h("div", { class: "actions" }, save, again));
}

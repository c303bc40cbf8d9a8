// The editor of one memory. It is saved over the version it was read in only: what the bot or another tab wrote meanwhile is
// shown and can be merged, never overwritten unseen.
import { call } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { bytes, t } from "../core/i18n.js";
import { store } from "../core/store.js";
import { actButton } from "../components/act.js";
import { diffView, merge } from "../components/diff.js";
import { icon } from "../components/icon.js";
import { markdown } from "../components/markdown.js";
import { loading, skeleton } from "../components/states.js";
import { ago } from "../components/time.js";
import { toast } from "../components/toast.js";
import { versionsDialog } from "./memory-versions.js";

/** Where the deployment says nothing (API.md §3.6). */
const LARGEST = 102_400;

// Texts that were typed and not saved, by path, for as long as the console is open: leaving the page loses nothing.
const drafts = new Map();
addEventListener("beforeunload", (event) => { if (drafts.size) event.preventDefault(); });

async function read(path, signal) {
  const response = await call("GET", path, { signal });
  return { ...await response.json(), etag: response.headers.get("ETag") };
}

/** The editor of the memory at `path`; `about` says what this memory is for. */
export function memory(path, about, { signal } = {}) {
  return loading(() => read(path, signal), (stored) => editor(path, about, stored, signal), { placeholder: () => h("div", { class: "card stack" }, skeleton("lines", 8)) });
}

function editor(path, about, stored, signal) {
  const limit = store.config?.limits?.maxMemoryBytes ?? LARGEST;
  const draft = drafts.get(path);
  let base = draft?.base ?? stored;
  const text = h("textarea", { rows: 18, spellcheck: "false", "aria-label": t("memory.label"), class: "paper", placeholder: t("memory.placeholder"), value: draft?.text ?? stored.content, dir: "auto" });
  const info = h("p", { class: "hint", role: "status" });
  const size = h("p", { class: "hint size" });
  const problem = h("p", { class: "error", role: "alert", hidden: true });
  const conflict = h("div", { hidden: true });
  const preview = h("div", { class: "body preview", hidden: true });
  const save = actButton(t("action.save"), () => put(text.value, base.etag), { kind: "main", failed: (error) => refused(error) });
  const again = actButton(t("memory.again"), async () => take(await read(path, signal)), { kind: "quiet", failed: (error) => refused(error) });
  const looks = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => {
    const on = preview.hidden;
    looks.setAttribute("aria-pressed", String(on));
    if (on) replace(preview, text.value.trim() ? markdown(text.value) : h("p", { class: "hint" }, t("memory.placeholder")));
    preview.hidden = !on;
    text.hidden = on;
  } }, icon("eye", 18), h("span", {}, t("memory.preview")));
  const versions = h("button", { type: "button", class: "quiet", onclick: () => versionsDialog({ path, signal, current: () => base.content, restore: (content) => put(content, base.etag) }) }, icon("clock", 18), h("span", {}, t("memory.versions")));

  const changed = () => text.value !== base.content;
  function measure() {
    const length = new TextEncoder().encode(text.value).length;
    size.textContent = t("memory.size", { size: bytes(length), limit: bytes(limit) });
    size.classList.toggle("error", length > limit);
    save.disabled = !changed() || length > limit;
    if (changed()) drafts.set(path, { text: text.value, base }); else drafts.delete(path);
  }
  function tell(...children) { replace(info, ...children); }
  const state = () => tell(base.updatedAt ? [t("memory.changedAt"), " ", ago(base.updatedAt)] : t("memory.never"));
  function take(next) {
    base = next;
    text.value = next.content;
    conflict.hidden = true;
    problem.hidden = true;
    measure();
    state();
  }
  async function put(content, etag) {
    problem.hidden = true;
    const response = await call("PUT", path, { body: { content }, headers: etag ? { "If-Match": etag } : {}, signal });
    const answer = await response.json();
    take({ ...answer, content: answer.content ?? content, etag: response.headers.get("ETag") });
    tell(t("state.saved"));
  }
  async function refused(error) {
    if (error.status !== 412) {
      problem.textContent = error.message;
      problem.hidden = false;
      return;
    }
    try { show(await read(path, signal)); } catch (second) { refused(second.status === 412 ? error : second); }
  }
  // Both texts, and the three ways out.
  function show(theirs) {
    const mine = text.value;
    const keep = actButton(t("memory.keepMine"), () => put(mine, theirs.etag), { failed: (error) => refused(error) });
    const both = h("button", { type: "button", class: "main", onclick: () => {
      const merged = merge(base.content, mine, theirs.content);
      base = theirs;
      text.value = merged.text;
      conflict.hidden = true;
      measure();
      tell(merged.conflicts ? t("memory.mergedBoth", { count: merged.conflicts }) : t("memory.merged"));
      text.focus();
    } }, t("memory.merge"));
    const theirsOnly = h("button", { type: "button", onclick: () => { take(theirs); text.focus(); } }, t("memory.takeTheirs"));
    const heading = h("h3", { tabindex: "-1" }, t("memory.conflict"));
    replace(conflict, h("div", { class: "card warn stack conflict" }, heading, h("p", {}, t("memory.conflictText")),
      h("div", { class: "columns" },
        h("figure", { class: "stack tight" }, h("figcaption", {}, t("memory.mine")), diffView(base.content, mine, t("memory.mine"))),
        h("figure", { class: "stack tight" }, h("figcaption", {}, t("memory.theirs")), diffView(base.content, theirs.content, t("memory.theirs")))),
      h("div", { class: "actions" }, both, keep, theirsOnly)));
    conflict.hidden = false;
    heading.focus();
  }

  text.addEventListener("input", measure);
  text.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!save.disabled) save.click();
  });
  measure();
  state();
  if (draft && changed()) tell(t("memory.draft"), " ", h("button", { type: "button", class: "quiet small", onclick: () => take(stored) }, t("memory.discard")));
  return h("div", { class: "card stack memory" }, h("div", { class: "row spread" }, h("p", { class: "hint grow" }, about), h("div", { class: "row tools-row" }, looks, versions)), text, preview,
    h("div", { class: "row spread" }, info, size), problem, conflict, h("div", { class: "actions" }, save, again));
}

// The messages of a live conversation, in order of time, with the answers that are being written and the tools at work.
import { h, replace } from "../core/dom.js";
import { duration, t } from "../core/i18n.js";
import { avatar } from "../components/avatar.js";
import { icon } from "../components/icon.js";
import { markdown } from "../components/markdown.js";
import { messageRow } from "../components/message.js";

/** `older()` is called when the reader comes near the beginning. */
export function chatLog({ bot, signal, welcome, older }) {
  const known = new Map();
  const order = [];
  const drafts = new Map();
  let tools = null;
  let stuck = true;

  const list = h("ol", { class: "log" });
  const pulse = h("div", { class: "pulse", hidden: true, role: "status" }, h("span", { class: "unseen" }, t("chat.working")), h("i"), h("i"), h("i"));
  const top = h("div", { class: "log-top" });
  const inner = h("div", { class: "log-inner" }, top, welcome, h("div", { role: "log", "aria-label": t("chat.messages"), "aria-relevant": "additions" }, list), pulse);
  const scroller = h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": t("chat.conversation") }, inner);
  const down = h("button", { type: "button", class: "jump", hidden: true, "aria-label": t("chat.latest"), title: t("chat.latest"), onclick: () => end() }, icon("down"));

  // Who reads at the end stays there whatever grows (answers, pictures, the keyboard of a phone); who reads above is left alone.
  scroller.addEventListener("scroll", () => {
    stuck = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
    down.hidden = stuck;
    if (scroller.scrollTop < 400) older();
  }, { passive: true });
  const watcher = new ResizeObserver(() => { if (stuck) scroller.scrollTop = scroller.scrollHeight; });
  watcher.observe(inner);
  watcher.observe(scroller);
  signal.addEventListener("abort", () => watcher.disconnect());
  function end() {
    stuck = true;
    scroller.scrollTop = scroller.scrollHeight;
  }

  const firstDraft = () => [...drafts.values()][0]?.element ?? null;
  function place(message, element) {
    // Binary search for the first one that is newer.
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order[middle].message.timestamp <= message.timestamp) low = middle + 1; else high = middle;
    }
    const entry = { message, element };
    const next = order[low]?.element ?? (message.isBotMessage ? firstDraft() : firstDraft() ?? tools?.element ?? null);
    list.insertBefore(element, next);
    order.splice(low, 0, entry);
    known.set(message.messageId, entry);
  }
  const row = (message, old) => messageRow(message, bot, {
    signal, old, more: message.retry ? [h("button", { type: "button", class: "quiet", onclick: message.retry }, t("chat.sendAgain"))] : [],
  });

  const log = {
    element: h("div", { class: "log-frame" }, scroller, down),
    top,
    end,
    /** Adds messages, or draws them again; one row per id. `old`: they come from before what is shown. */
    put(messages, { old = false } = {}) {
      for (const message of messages) {
        const entry = known.get(message.messageId);
        const element = row(message, old);
        if (entry) {
          entry.element.replaceWith(element);
          entry.element = element;
          entry.message = message;
        } else place(message, element);
      }
      welcome.hidden = order.length > 0;
    },
    /** As `put`, but the reader's place in the text stays where it is. */
    putAbove(messages) {
      const height = scroller.scrollHeight;
      const before = scroller.scrollTop;
      log.put(messages, { old: true });
      if (!stuck) scroller.scrollTop = before + scroller.scrollHeight - height;
    },
    get(id) { return known.get(id)?.message; },
    forget(id) {
      const entry = known.get(id);
      if (!entry) return;
      entry.element.remove();
      known.delete(id);
      order.splice(order.indexOf(entry), 1);
    },
    get messages() { return order.map((entry) => entry.message); },
    working(on) { pulse.hidden = !on || drafts.size > 0; },
    delta({ messageId, text }) {
      let draft = drafts.get(messageId);
      if (!draft) {
        const body = h("div", { class: "body" });
        draft = { text: "", body, frame: null, element: h("li", { class: "message bot draft", "aria-live": "off" }, avatar(bot), h("span", { class: "who" }, h("bdi", {}, bot.name)), body) };
        drafts.set(messageId, draft);
        list.append(draft.element);
      }
      draft.text += text;
      pulse.hidden = true;
      // Rendered at most once per frame, however fast the pieces come.
      draft.frame ??= requestAnimationFrame(() => { draft.frame = null; replace(draft.body, markdown(draft.text)); });
    },
    dropDraft(id) {
      const draft = drafts.get(id);
      if (!draft) return;
      if (draft.frame) cancelAnimationFrame(draft.frame);
      draft.element.remove();
      drafts.delete(id);
    },
    dropDrafts() { for (const id of [...drafts.keys()]) log.dropDraft(id); },
    tool(data) {
      if (!tools) {
        const rows = h("ul");
        tools = { list: rows, rows: new Map(), element: h("li", { class: "tools" }, h("details", { open: true }, h("summary", {}, t("chat.activity")), rows)) };
        list.insertBefore(tools.element, firstDraft());
      }
      let line = tools.rows.get(data.toolUseId);
      if (!line) {
        line = h("li");
        tools.rows.set(data.toolUseId, line);
        tools.list.append(line);
        if (tools.rows.size > 100) { const [first] = tools.rows.keys(); tools.rows.get(first).remove(); tools.rows.delete(first); }
      }
      drawTool(line, data);
    },
    /** At the end of a run: its tools become one line. */
    foldTools() {
      if (!tools) return;
      const details = tools.element.firstChild;
      details.open = false;
      details.firstChild.textContent = t("chat.activityCount", { count: tools.rows.size });
      tools = null;
    },
  };
  return log;
}

function drawTool(line, data) {
  const bad = data.phase === "denied" || data.isError;
  const mark = data.phase === "start" ? "…" : data.phase === "denied" ? "⊘" : data.isError ? "✗" : "✓";
  const summary = data.summary ?? line.dataset.summary ?? "";
  if (summary) line.dataset.summary = summary;
  line.className = data.phase === "start" ? "open" : bad ? "bad" : "done";
  replace(line, h("span", { "aria-hidden": "true" }, mark), " ", h("b", {}, data.name.replace(/^mcp__[^_]+__/, "")), summary && ` ${summary}`,
    h("small", {}, data.phase === "denied" ? ` ${t("chat.notAllowed")}` : data.durationMs === undefined ? "" : ` ${duration(data.durationMs)}`), data.isError && h("span", { class: "unseen" }, t("chat.toolFailed")));
}

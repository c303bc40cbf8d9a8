// The live chat of one conversation: history, streamed answers, tool activity, delivery states, attachments.
import { api, download, fileBlob, part, upload } from "../core/api.js";
import { follow } from "../core/events.js";
import { h, replace } from "../core/dom.js";
import { bytes, when } from "../core/i18n.js";
import { avatar } from "../components/avatar.js";
import { markdown } from "../components/markdown.js";
import { empty } from "../components/states.js";
import { toast } from "../components/toast.js";

const STATES = { sending: "Sending …", unsent: "Not sent", queued: "Waiting", running: "In work", answered: "✓ Answered", failed: "Failed", stopped: "Stopped", sent: "" };
const FAILURES = {
  "agent-failed": "Something went wrong while working on it, also after trying again.",
  "agent-timeout": "It took longer than the bot may take.",
  "quota-exceeded": "This month's token quota is used up.",
  "provider-unavailable": "The model provider could not be reached.",
  "channel-failed": "The answer could not be delivered.",
  "bot-unavailable": "The bot is paused.",
};

const IDEAS = ["What can you do?", "Remember that my favourite colour is teal", "Remind me every day at 9:00 to water the plants", "Write a file notes.txt with hello world and send it to me"];

export function tab({ bot, params }) {
  const conversation = params.item ?? "main";
  const group = `web:${conversation}`;
  const base = `/api/bots/${part(bot.botId)}`;
  const messages = new Map();
  const drafts = new Map();
  let tools = null;
  let cursor = null;
  let typing = false;
  let closed = false;
  let files = [];

  const log = h("ol", { class: "log", "aria-label": "Messages", role: "log", "aria-live": "polite", "aria-relevant": "additions" });
  const older = h("button", { class: "quiet", type: "button", hidden: true, onclick: () => loadOlder() }, "Earlier messages");
  const state = h("p", { class: "state", role: "status" }, "Connecting …");
  const pulse = h("div", { class: "pulse", hidden: true, role: "status", "aria-label": "The bot is working" }, h("i"), h("i"), h("i"));
  const welcome = empty("chat", `Say hello to ${bot.name}`, "It answers here, live. Try one of these:",
    h("div", { class: "ideas" }, IDEAS.map((idea) => h("button", { type: "button", onclick: () => send({ content: idea, files: [] }) }, idea))));
  welcome.firstChild.replaceWith(avatar(bot, "large"));
  welcome.hidden = true;
  const scroll = h("div", { class: "scroller", tabindex: "0", "aria-label": "Conversation" }, older, welcome, log, pulse);
  const chosen = h("ul", { class: "files" });
  const text = h("textarea", { rows: 1, placeholder: `Message ${bot.name}`, "aria-label": "Message", maxlength: 32000 });
  const pick = h("input", { type: "file", multiple: true, hidden: true, "aria-label": "Attach files" });
  const submit = h("button", { type: "submit", class: "main" }, "Send");
  const form = h("form", { class: "compose" }, chosen,
    h("div", { class: "compose-row" },
      h("button", { type: "button", class: "quiet attach", "aria-label": "Attach files", title: "Attach files", onclick: () => pick.click() }, "+"),
      pick, text, submit),
    h("p", { class: "hint" }, "Enter sends, Shift+Enter starts a new line. /help lists the commands."));

  text.addEventListener("input", grow);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  });
  pick.addEventListener("change", () => { choose([...pick.files]); pick.value = ""; });
  text.addEventListener("paste", (event) => { if (event.clipboardData.files.length) choose([...event.clipboardData.files]); });
  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });

  function grow() {
    text.rows = Math.min(8, Math.max(1, text.value.split("\n").length));
  }
  function choose(list) {
    for (const file of list) {
      if (files.length >= 10) { toast("At most ten files per message.", "bad"); break; }
      if (file.size > 20 * 1048576) { toast(`${file.name} is larger than 20 MB.`, "bad"); continue; }
      files.push(file);
    }
    showFiles();
  }
  function showFiles() {
    replace(chosen, files.map((file, index) => h("li", {}, `${file.name} · ${bytes(file.size)}`,
      h("button", { type: "button", class: "quiet", "aria-label": `Remove ${file.name}`, onclick: () => { files.splice(index, 1); showFiles(); } }, "×"))));
  }

  const nearEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 120;
  function settle(change) {
    const follow = nearEnd();
    change();
    if (follow) scroll.scrollTop = scroll.scrollHeight;
  }

  function row(message) {
    const mine = !message.isBotMessage;
    const body = h("div", { class: "body" });
    if (message.content) mine ? body.append(h("p", { class: "plain" }, message.content)) : body.append(markdown(message.content));
    for (const file of message.attachments ?? []) body.append(attachment(file));
    const label = message.state === "failed" && message.failure ? `Failed: ${FAILURES[message.failure] ?? message.failure}` : STATES[message.state] ?? "";
    return h("li", { class: `message ${mine ? "mine" : "bot"} ${message.state}` },
      !mine && avatar(bot), h("span", { class: mine ? "who unseen" : "who" }, mine ? "You" : bot.name), body,
      h("p", { class: "meta" }, h("time", { datetime: message.timestamp }, when(message.timestamp)), label && h("span", { class: "delivery" }, label), message.editedAt && h("span", {}, "edited"),
        message.retry && h("button", { type: "button", class: "quiet", onclick: message.retry }, "Send again")));
  }

  function attachment(file) {
    const button = h("button", { type: "button", class: "file", title: "Download" }, h("span", { class: "kind", "aria-hidden": "true" }, (file.fileName.match(/\.([^.]{1,4})$/)?.[1] ?? "file").toLowerCase()),
      h("span", {}, h("b", {}, file.fileName), h("small", {}, `${bytes(file.size)} · Download`)));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const url = URL.createObjectURL(await fileBlob(bot.botId, file.key));
        h("a", { href: url, download: file.fileName }).click();
        setTimeout(() => URL.revokeObjectURL(url), 60000);
      } catch (error) { toast(error.message, "bad"); }
      button.disabled = false;
    });
    const box = h("div", { class: "attached" }, button);
    if (["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"].includes(file.mimeType) && file.size < 8 * 1048576) {
      fileBlob(bot.botId, file.key).then((blob) => {
        if (closed) return;
        const url = URL.createObjectURL(new Blob([blob], { type: file.mimeType }));
        settle(() => box.prepend(h("img", { src: url, alt: file.fileName, onload: () => { if (nearEnd()) scroll.scrollTop = scroll.scrollHeight; } })));
      }).catch(() => null);
    }
    return box;
  }

  // Keeps the list in order of time, one row per message id.
  function put(message) {
    welcome.hidden = true;
    settle(() => {
      const known = messages.get(message.messageId);
      const element = row(message);
      if (known) known.element.replaceWith(element);
      else {
        const next = [...messages.values()].filter((m) => m.message.timestamp > message.timestamp).sort((a, b) => (a.message.timestamp < b.message.timestamp ? -1 : 1))[0];
        log.insertBefore(element, next?.element ?? (message.isBotMessage ? openDraft() : openDraft() ?? tools?.element ?? null));
      }
      messages.set(message.messageId, { message, element });
    });
  }
  const openDraft = () => [...drafts.values()][0]?.element ?? null;
  function forget(id) { messages.get(id)?.element.remove(); messages.delete(id); }

  async function load() {
    try {
      const page = await api.get(`${base}/groups/${part(group)}/messages?limit=50`);
      for (const message of page.items) put(message);
      cursor = page.nextCursor ?? null;
    } catch (error) {
      if (error.status !== 404) throw error;
      cursor = null;
    }
    older.hidden = !cursor;
    welcome.hidden = messages.size > 0;
    scroll.scrollTop = scroll.scrollHeight;
  }
  async function loadOlder() {
    const height = scroll.scrollHeight;
    try {
      const page = await api.get(`${base}/groups/${part(group)}/messages?limit=50&cursor=${part(cursor)}`);
      for (const message of page.items) put(message);
      cursor = page.nextCursor ?? null;
      older.hidden = !cursor;
      scroll.scrollTop += scroll.scrollHeight - height;
    } catch (error) { toast(error.message, "bad"); }
  }
  // The states of recent messages as the server has them.
  async function refreshStates() {
    try {
      const page = await api.get(`${base}/groups/${part(group)}/messages?limit=20`);
      for (const message of page.items) {
        const known = messages.get(message.messageId)?.message;
        if (!known || known.state !== message.state || known.content !== message.content) put(message);
      }
    } catch (error) { if (error.status !== 404) state.textContent = error.message; }
  }

  function work(on) {
    typing = on;
    settle(() => { pulse.hidden = !on || drafts.size > 0; });
  }
  function mark(from, to) {
    for (const { message } of [...messages.values()]) if (!message.isBotMessage && from.includes(message.state)) put({ ...message, state: to });
  }

  function delta(data) {
    settle(() => {
      let draft = drafts.get(data.messageId);
      if (!draft) {
        const body = h("div", { class: "body" });
        draft = { text: "", body, element: h("li", { class: "message bot draft" }, avatar(bot), h("span", { class: "who" }, bot.name), body), timer: null };
        drafts.set(data.messageId, draft);
        log.append(draft.element);
      }
      draft.text += data.text;
      pulse.hidden = true;
    });
    const draft = drafts.get(data.messageId);
    // Rendered at most once per frame, however fast the pieces come.
    draft.timer ??= requestAnimationFrame(() => { draft.timer = null; settle(() => replace(draft.body, markdown(draft.text))); });
  }
  function dropDraft(id) {
    const draft = drafts.get(id);
    if (!draft) return;
    if (draft.timer) cancelAnimationFrame(draft.timer);
    draft.element.remove();
    drafts.delete(id);
  }

  function tool(data) {
    settle(() => {
      if (!tools) {
        const list = h("ul");
        tools = { list, rows: new Map(), element: h("li", { class: "tools" }, h("details", { open: true }, h("summary", {}, "Activity"), list)) };
        log.insertBefore(tools.element, [...drafts.values()][0]?.element ?? null);
      }
      const shown = data.name.replace(/^mcp__[^_]+__/, "");
      let line = tools.rows.get(data.toolUseId);
      if (!line) {
        line = h("li");
        tools.rows.set(data.toolUseId, line);
        tools.list.append(line);
        if (tools.rows.size > 100) { const [first] = tools.rows.keys(); tools.rows.get(first).remove(); tools.rows.delete(first); }
      }
      const mark = data.phase === "start" ? "…" : data.phase === "denied" ? "⊘" : data.isError ? "✗" : "✓";
      const time = data.durationMs === undefined ? "" : data.durationMs < 1000 ? ` ${data.durationMs} ms` : ` ${(data.durationMs / 1000).toFixed(1)} s`;
      const summary = data.summary ?? line.dataset.summary ?? "";
      if (summary) line.dataset.summary = summary;
      line.className = data.phase === "start" ? "open" : data.isError || data.phase === "denied" ? "bad" : "done";
      replace(line, h("span", { "aria-hidden": "true" }, mark), " ", h("b", {}, shown), summary && ` ${summary}`, h("small", {}, data.phase === "denied" ? " not allowed" : time));
    });
  }
  function foldTools() {
    if (!tools) return;
    const details = tools.element.firstChild;
    details.open = false;
    details.firstChild.textContent = `Activity (${tools.rows.size})`;
    tools = null;
  }

  function take(name, data) {
    if (data.groupJid && data.groupJid !== group) return;
    if (name === "message") {
      dropDraft(data.messageId);
      if (data.isBotMessage && !data.invocationId) work(false);
      for (const [id, { message }] of messages) if (message.local && !data.isBotMessage && message.content === data.content) { forget(id); break; }
      put(data);
    } else if (name === "delta") delta(data);
    else if (name === "tool") tool(data);
    else if (name === "status") {
      if (data.state === "queued") { if (data.invocationId === undefined) mark(["sending"], "queued"); work(true); }
      else if (data.state === "running") { mark(["queued"], "running"); work(true); }
      else {
        for (const id of [...drafts.keys()]) dropDraft(id);
        foldTools();
        work(false);
        refreshStates();
      }
    } else if (name === "error") {
      if (data.code === "resume-gap") load().catch(() => null);
      else if (!["token-expired", "slow-consumer", "bot-unavailable"].includes(data.code)) state.textContent = data.detail;
    }
  }

  const fresh = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

  async function send(again) {
    const content = again?.content ?? text.value;
    const picked = again?.files ?? files;
    if (!content.trim() && !picked.length) return;
    const key = again?.key ?? fresh();
    const id = `local-${key}`;
    const local = { messageId: id, local: true, content, timestamp: new Date().toISOString(), isBotMessage: false, state: "sending" };
    if (!again) { text.value = ""; files = []; showFiles(); grow(); }
    put(local);
    scroll.scrollTop = scroll.scrollHeight;
    try {
      const attachments = again?.attachments ?? [];
      for (const file of picked.slice(attachments.length)) {
        const name = file.name.normalize("NFC").replace(/[^\p{L}\p{N}._ -]/gu, "_").replace(/^\.+/, "_").slice(0, 100) || "file";
        attachments.push({ key: (await upload(bot.botId, `uploads/${key}/${attachments.length}-${name}`, file)).key });
      }
      // The same key on every try: however often it is sent, it is one message.
      const body = { content, conversationId: conversation, ...(attachments.length ? { attachments } : {}) };
      let receipt;
      for (let attempt = 0; ; attempt++) {
        try { receipt = await api.post(`${base}/chat`, body, { headers: { "Idempotency-Key": key } }); break; } catch (error) {
          const passing = error.status === 0 || error.status === 503 || error.slug === "idempotency-in-progress";
          if (!passing || attempt >= 4) throw error;
          await new Promise((done) => setTimeout(done, Math.max(error.retryAfter * 1000, 800 * 2 ** attempt)));
        }
      }
      forget(id);
      if (!messages.has(receipt.messageId)) put({ ...local, local: false, messageId: receipt.messageId, timestamp: receipt.timestamp, state: content.trim().startsWith("/") ? "answered" : "queued" });
      if (attachments.length) refreshStates();
    } catch (error) {
      toast(error.message, "bad");
      put({ ...local, state: "unsent", retry: () => { forget(id); send({ content, files: picked, key }); } });
    }
  }

  let stopFollowing = () => {};
  function connect() {
    stopFollowing();
    stopFollowing = follow(bot.botId, conversation, {
      event: take,
      state(kind, sentence) {
        state.classList.toggle("warn", kind !== "open");
        state.textContent = kind === "open" ? "" : sentence;
        if (kind === "open") refreshStates();
        if (kind === "ended" && bot.status !== "deleted") state.append(" ", h("button", { type: "button", class: "quiet", onclick: connect }, "Connect again"));
      },
    });
  }
  function start() {
    state.className = "state";
    state.textContent = "Connecting …";
    load().then(connect, (error) => {
      state.classList.add("warn");
      replace(state, error.message, " ", h("button", { type: "button", class: "quiet", onclick: start }, "Try again"));
    });
  }
  start();

  return {
    view: h("section", { class: "talk", "aria-label": `Chat with ${bot.name}` }, scroll, state, form),
    leave() { closed = true; stopFollowing(); },
    get working() { return typing; },
  };
}

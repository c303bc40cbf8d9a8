// The live chat of one conversation: history, streamed answers, tool activity, delivery states, attachments.
import { all, api, part, upload } from "../core/api.js";
import { h, randomId, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { follow } from "../core/events.js";
import { go, link } from "../core/router.js";
import { act, actButton } from "../components/act.js";
import { avatar } from "../components/avatar.js";
import { openDialog } from "../components/dialog.js";
import { field, form } from "../components/form.js";
import { icon } from "../components/icon.js";
import { menu } from "../components/menu.js";
import { progress } from "../components/progress.js";
import { empty, skeleton } from "../components/states.js";
import { toast } from "../components/toast.js";
import { groupName } from "./channel.js";
import { chatLog } from "./chat-log.js";
import { compose } from "./chat-compose.js";

const PAGE = 50;

export function tab({ bot, params, signal, config }) {
  const conversation = params.item ?? "main";
  const group = `web:${conversation}`;
  const base = `/api/bots/${part(bot.botId)}`;
  const history = `${base}/groups/${part(group)}/messages`;
  let cursor = null;
  let loadingOlder = false;

  const ideas = [1, 2, 3, 4].map((number) => t(`chat.idea${number}`));
  const welcome = empty("chat", t("chat.hello", { name: bot.name }), t("chat.helloText"),
    h("div", { class: "ideas" }, ideas.map((idea) => h("button", { type: "button", onclick: () => send({ content: idea, files: [] }) }, idea))));
  welcome.firstChild.replaceWith(avatar(bot, "large"));
  welcome.hidden = true;
  const log = chatLog({ bot, signal, welcome, older: () => loadOlder() });
  const state = h("p", { class: "state", role: "status" });
  const box = compose({ bot, conversation, limits: config?.limits, send, stop: (button) => act(button, () => api.post(`${base}/chat`, { content: "/stop", conversationId: conversation }, { headers: { "Idempotency-Key": randomId() } })) });
  const drop = h("div", { class: "drop", hidden: true }, icon("upload", 28), t("chat.drop"));
  const view = h("section", { class: "talk", "aria-label": t("chat.with", { name: bot.name }) }, switcher(), log.element, state, box.element, drop);

  // Files may be dropped anywhere on the conversation.
  view.addEventListener("dragover", (event) => { if ([...event.dataTransfer.types].includes("Files")) { event.preventDefault(); drop.hidden = false; } });
  view.addEventListener("dragleave", (event) => { if (!view.contains(event.relatedTarget)) drop.hidden = true; });
  view.addEventListener("drop", (event) => { event.preventDefault(); drop.hidden = true; box.choose([...event.dataTransfer.files]); });

  // Which conversation this is, the others, and a new one.
  function switcher() {
    const title = h("span", { class: "clip1" }, conversation === "main" ? groupName({ groupJid: group }) : "…");
    let groups = [];
    all(`${base}/groups?channelType=web`, { signal }).then((items) => {
      groups = items;
      const known = items.find((one) => one.groupJid === group);
      title.textContent = known || conversation === "main" ? groupName(known ?? { groupJid: group }) : t("chat.new");
    }).catch(() => { title.textContent = conversation; });
    const address = (one) => `/bots/${part(bot.botId)}/chat/${part(one.groupJid.slice(4))}`;
    return h("div", { class: "switcher" },
      menu(h("button", { type: "button", class: "quiet", "aria-label": t("chat.switch") }, title, icon("down", 16)), () => [
        ...groups.map((one) => ({ label: groupName(one), current: one.groupJid === group, run: () => go(address(one)) })),
        ...(groups.some((one) => one.groupJid === group) ? [{ label: t("chat.rename"), glyph: "edit", run: () => rename(groups, title) }] : []),
        { label: t("chat.new"), glyph: "plus", run: startNew },
      ]),
      h("span", { class: "row" }, link(`/bots/${part(bot.botId)}/conversations/${part(group)}`, { class: "icon-button button", "aria-label": t("chat.history"), title: t("chat.history") }, icon("inbox")),
        h("button", { type: "button", class: "icon-button", "aria-label": t("chat.new"), title: t("chat.new"), onclick: startNew }, icon("plus"))));
  }
  function startNew() {
    return go(`/bots/${part(bot.botId)}/chat/c-${randomId().slice(0, 10)}`);
  }
  function rename(groups, title) {
    const one = groups.find((candidate) => candidate.groupJid === group);
    const input = field(t("chat.name"), h("input", { required: true, maxlength: 200, value: one.name }), { name: "name" });
    const dialog = openDialog({ title: t("chat.rename"), body: form({ children: input, label: t("action.save"), submit: async () => {
      Object.assign(one, await api.put(`${base}/groups/${part(group)}`, { name: input.input.value }));
      title.textContent = groupName(one);
      dialog.close();
    } }) });
    input.input.select();
  }

  async function load() {
    try {
      const page = await api.get(`${history}?limit=${PAGE}`, { signal });
      log.put(page.items);
      cursor = page.nextCursor ?? null;
    } catch (error) {
      // A conversation that nobody has written in yet.
      if (error.status !== 404) throw error;
      cursor = null;
    }
    welcome.hidden = log.messages.length > 0;
    log.end();
  }
  async function loadOlder() {
    if (!cursor || loadingOlder) return;
    loadingOlder = true;
    replace(log.top, skeleton("chat", 2));
    try {
      const page = await api.get(`${history}?limit=${PAGE}&cursor=${part(cursor)}`, { signal });
      cursor = page.nextCursor ?? null;
      replace(log.top);
      log.putAbove(page.items);
      loadingOlder = false;
    } catch (error) {
      if (error.name === "AbortError") return;
      replace(log.top, h("p", { class: "error" }, error.message), actButton(t("action.retry"), () => { loadingOlder = false; return loadOlder(); }, { kind: "quiet" }));
    }
  }
  // The states of recent messages as the server has them.
  async function refreshStates() {
    try {
      const page = await api.get(`${history}?limit=20`, { signal });
      log.put(page.items.filter((message) => {
        const shown = log.get(message.messageId);
        return !shown || shown.state !== message.state || shown.content !== message.content;
      }));
    } catch (error) { if (error.status !== 404 && error.name !== "AbortError") state.textContent = error.message; }
  }
  function mark(from, to) {
    log.put(log.messages.filter((message) => !message.isBotMessage && from.includes(message.state)).map((message) => ({ ...message, state: to })));
  }
  function working(on) {
    log.working(on);
    box.working(on);
  }

  function take(event, data) {
    if (data.groupJid && data.groupJid !== group) return;
    if (event === "message") {
      log.dropDraft(data.messageId);
      if (data.isBotMessage && !data.invocationId) working(false);
      if (!data.isBotMessage) {
        const local = log.messages.find((message) => message.local && message.content === data.content);
        if (local) log.forget(local.messageId);
      }
      log.put([data]);
    } else if (event === "delta") log.delta(data);
    else if (event === "tool") log.tool(data);
    else if (event === "status") {
      if (data.state === "queued") { if (data.invocationId === undefined) mark(["sending"], "queued"); working(true); } else if (data.state === "running") { mark(["queued"], "running"); working(true); } else {
        log.dropDrafts();
        log.foldTools();
        working(false);
        refreshStates();
      }
    } else if (event === "error") {
      if (data.code === "resume-gap") load().catch(() => null);
      else if (!["token-expired", "slow-consumer", "bot-unavailable"].includes(data.code)) state.textContent = data.detail;
    }
  }

  async function send({ content, files, key = randomId(), attachments = [] }) {
    const id = `local-${key}`;
    const bars = files.slice(attachments.length).map((file) => progress(file.name));
    const local = { messageId: id, local: true, content, timestamp: new Date().toISOString(), isBotMessage: false, state: "sending", uploads: bars.length ? h("div", { class: "stack tight" }, bars) : null };
    log.put([local]);
    log.end();
    try {
      for (const [index, file] of files.entries()) {
        if (index < attachments.length) continue;
        const name = file.name.normalize("NFC").replace(/[^\p{L}\p{N}._ -]/gu, "_").replace(/^\.+/, "_").slice(0, 100) || "file";
        const bar = bars[index - (files.length - bars.length)];
        attachments.push({ key: (await upload(bot.botId, `uploads/${key}/${index}/${name}`, file, { signal, progress: (sent, total) => bar.set(sent, total) })).key });
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
      log.forget(id);
      if (!log.get(receipt.messageId)) log.put([{ ...local, local: false, uploads: null, messageId: receipt.messageId, timestamp: receipt.timestamp, state: content.trim().startsWith("/") ? "answered" : "queued" }]);
      if (attachments.length) refreshStates();
    } catch (error) {
      if (error.name === "AbortError") return;
      toast(error.message, "bad");
      log.put([{ ...local, uploads: null, state: "unsent", retry: () => { log.forget(id); send({ content, files, key, attachments }); } }]);
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
        if (kind === "ended") state.append(" ", h("button", { type: "button", class: "quiet", onclick: connect }, t("chat.connect")));
      },
    });
  }
  function start() {
    state.className = "state";
    state.textContent = t("chat.connecting");
    load().then(() => { if (!signal.aborted) connect(); }, (error) => {
      if (error.name === "AbortError") return;
      state.classList.add("warn");
      replace(state, error.message, " ", h("button", { type: "button", class: "quiet", onclick: start }, t("action.retry")));
    });
  }
  start();
  // On a phone the keyboard would hide the conversation.
  if (matchMedia("(hover: hover)").matches) queueMicrotask(() => box.focus());

  return { view, leave() { stopFollowing(); } };
}

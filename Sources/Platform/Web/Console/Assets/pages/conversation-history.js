// The history of one conversation. Pages of messages come as the reader scrolls back; what is far away leaves the document, so
// that ten thousand messages stay as quick as a hundred.
import { api, part } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { iconButton } from "../components/act.js";
import { openDialog } from "../components/dialog.js";
import { check, field, form } from "../components/form.js";
import { icon } from "../components/icon.js";
import { windowed } from "../components/list.js";
import { messageRow } from "../components/message.js";
import { empty, failure, loading, skeleton } from "../components/states.js";
import { channelName, groupName } from "./channel.js";
import { showTrace } from "./trace.js";

const PAGE = 100;

/** `messageId`: the message that is looked for; pages are read until it is found. `changed(group)` after a rename. */
export function history({ bot, jid, messageId, back, signal, changed }) {
  const path = `/api/bots/${part(bot.botId)}/groups/${part(jid)}`;
  return loading(() => api.get(path, { signal }), (group) => draw(group), { placeholder: () => h("div", { class: "card history" }, skeleton("chat", 4)) });

  function draw(group) {
    const heading = h("h2", { class: "clip1", tabindex: "-1" }, h("bdi", {}, groupName(group)));
    const top = h("div", { class: "log-top" });
    const scroller = h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": t("chat.messages") });
    const log = windowed({ scroller, row: (message) => row(message, group), tag: "ol", chunk: "log" });
    replace(scroller, top, log.element);
    let cursor = null;
    let busy = false;
    let ended = false;

    async function older() {
      if (busy || ended || signal.aborted) return;
      busy = true;
      replace(top, skeleton("chat", 2));
      try {
        const page = await api.get(`${path}/messages?limit=${PAGE}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal });
        cursor = page.nextCursor ?? null;
        ended = !cursor;
        // The distance to the end stays: what was read does not move while more grows above it.
        const fromEnd = scroller.scrollHeight - scroller.scrollTop;
        const first = log.count === 0;
        replace(top, ended && log.count + page.items.length > 0 && h("p", { class: "hint" }, t("conversations.beginning")));
        if (page.items.length) log.add(page.items.reverse(), "before");
        if (ended && !log.count) replace(top, empty("chat", t("conversations.empty"), t("conversations.emptyText")));
        scroller.scrollTop = first ? scroller.scrollHeight : scroller.scrollHeight - fromEnd;
        busy = false;
      } catch (error) {
        if (error.name === "AbortError") return;
        replace(top, failure(error, () => { busy = false; return older(); }));
        return;
      }
      if (scroller.isConnected && scroller.scrollTop < 800) older();
    }
    scroller.addEventListener("scroll", () => { if (scroller.scrollTop < 800) older(); }, { passive: true });

    // A message that was linked to: back through the pages until it is there.
    async function seek() {
      for (let pages = 0; pages < 100; pages++) {
        const element = log.reveal((message) => message.messageId === messageId);
        if (element) {
          element.classList.add("found");
          element.scrollIntoView({ block: "center" });
          return;
        }
        if (ended || signal.aborted || top.querySelector(".failure")) return;
        if (busy) await new Promise((done) => setTimeout(done, 50)); else await older();
      }
    }
    older().then(() => messageId && seek());

    return h("section", { class: "card history", "aria-label": groupName(group) },
      h("div", { class: "history-head" },
        link(back, { class: "icon-button button only-narrow", "aria-label": t("conversations.back"), title: t("conversations.back") }, icon("left")),
        h("div", {}, heading, h("p", { class: "hint" }, channelName(group.channelType), group.isGroup && ` · ${t(group.requiresTrigger ? "conversations.onMention" : "conversations.always")}`)),
        group.channelType === "web" && link(`/bots/${part(bot.botId)}/chat/${part(jid.slice(4))}`, { class: "button quiet" }, icon("chat", 18), t("conversations.open")),
        iconButton("settings", t("conversations.settings"), () => settings(group, heading))),
      scroller);
  }

  function row(message, group) {
    const trace = h("button", { type: "button", class: "quiet", onclick: () => showTrace(bot, jid, message.messageId) }, t("trace.show"));
    return messageRow(message, bot, { signal, more: message.isBotMessage ? [] : [trace], sender: group.channelType === "web" || message.isBotMessage ? null : message.senderName || message.sender });
  }

  function settings(group, heading) {
    const name = field(t("chat.name"), h("input", { required: true, maxlength: 200, value: group.name }), { name: "name" });
    const mention = group.isGroup ? check(t("conversations.requiresTrigger", { word: bot.triggerPattern }), { checked: group.requiresTrigger, name: "requiresTrigger" }) : null;
    const dialog = openDialog({ title: t("conversations.settings"), body: form({ children: [name, mention], label: t("action.save"), submit: async () => {
      const next = await api.put(path, { name: name.input.value, ...(mention ? { requiresTrigger: mention.input.checked } : {}) });
      Object.assign(group, next);
      replace(heading, h("bdi", {}, groupName(group)));
      changed(group);
      dialog.close();
    } }) });
    name.input.select();
  }
}

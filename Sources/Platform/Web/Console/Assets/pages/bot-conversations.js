// The conversations of a bot on every channel: a list, the history of one of them, and the way of each message.
import { api, part } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { focusHeading, link } from "../core/router.js";
import { icon } from "../components/icon.js";
import { pagedList } from "../components/list.js";
import { empty, tag } from "../components/states.js";
import { ago } from "../components/time.js";
import { channelName, groupName } from "./channel.js";
import { history } from "./conversation-history.js";

export function tab({ bot, params, signal }) {
  const base = `/bots/${part(bot.botId)}/conversations`;
  const path = `/api/bots/${part(bot.botId)}/groups`;
  let open = null;
  let stop = null;

  const list = pagedList({
    label: t("bot.tab.conversations"),
    attributes: { class: "rows boxed" },
    load: (cursor, limit) => api.get(`${path}?limit=${limit}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal }),
    row,
    nothing: () => empty("inbox", t("conversations.none"), t("conversations.noneText"), link(`/bots/${part(bot.botId)}/chat`, { class: "button main" }, t("conversations.chat"))),
  });
  const place = h("div");
  const view = h("div", { class: "two" }, list, place);

  function row(group) {
    return h("div", {}, link(`${base}/${part(group.groupJid)}`, { class: "list-row group-row", "aria-current": group.groupJid === open ? "true" : undefined, "data-group": group.groupJid },
      h("span", { class: "group-icon" }, icon(group.channelType === "web" ? "chat" : group.isGroup ? "inbox" : "send", 18)),
      h("span", { class: "grow" }, h("bdi", { class: "clip1" }, groupName(group)), h("span", { class: "hint" }, channelName(group.channelType), " · ", ago(group.lastMessageAt))),
      group.sessionStatus === "active" && tag(t("conversations.active"), "good")));
  }
  function show({ item, detail }, moved) {
    open = item ?? null;
    stop?.abort();
    stop = new AbortController();
    signal.addEventListener("abort", () => stop.abort());
    for (const element of list.querySelectorAll("[data-group]")) {
      if (element.dataset.group === open) element.setAttribute("aria-current", "true"); else element.removeAttribute("aria-current");
    }
    view.classList.toggle("open", Boolean(open));
    if (!open) return void replace(place, empty("chat", t("conversations.choose"), t("conversations.chooseText")));
    replace(place, history({ bot, jid: open, messageId: detail ?? null, back: base, signal: stop.signal, changed: (group) => list.update((one) => one.groupJid === group.groupJid, () => group) }));
    if (moved) focusHeading(place);
  }
  show(params, false);

  return {
    view,
    change(next) {
      if (next.params.tab !== "conversations") return false;
      show(next.params, true);
      return true;
    },
    leave() { stop?.abort(); },
  };
}

// What went wrong, as sentences.
import { part } from "../core/api.js";
import { h } from "../core/dom.js";
import { has, t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { avatar } from "../components/avatar.js";
import { ago } from "../components/time.js";

/** The sentence of a failure code (API.md §4). */
export function failureText(code) {
  return has(`failure.${code}`) ? t(`failure.${code}`) : code;
}

/** Records of `GET …/failures`; each leads to its message where there is one. With `named`, items carry their `bot`. */
export function failureList(items, { named = false, botId = null } = {}) {
  return h("ul", { class: "events" }, items.map((item) => {
    const id = item.bot?.botId ?? botId;
    const place = item.messageId ? `/bots/${part(id)}/conversations/${part(item.groupJid)}/${part(item.messageId)}` : item.taskId ? `/bots/${part(id)}/tasks` : `/bots/${part(id)}`;
    return h("li", {}, link(place, { class: "event" }, named && avatar(item.bot, "small"),
      h("span", { class: "grow" }, named && h("b", { class: "clip1" }, h("bdi", {}, item.bot.name)), h("span", {}, failureText(item.code))), h("span", { class: "hint" }, ago(item.timestamp))));
  }));
}

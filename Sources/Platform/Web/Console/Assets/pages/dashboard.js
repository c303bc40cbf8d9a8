// Home: the user's bots, what they used, what failed lately.
import { part } from "../core/api.js";
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { store } from "../core/store.js";
import { avatar } from "../components/avatar.js";
import { icon } from "../components/icon.js";
import { empty, loading, skeleton } from "../components/states.js";
import { statusTag } from "./bot.js";
import { channelTag } from "./channel.js";

export function page() {
  const bots = loading(() => store.bots(), (list) => (list.length
    ? h("div", { class: "grid" }, list.map(card))
    : empty("bot", t("home.none"), t("home.noneText"), link("/bots/new", { class: "button main" }, icon("plus"), t("home.create")))), { placeholder: () => skeleton("cards", 3) });
  return {
    title: t("nav.home"),
    view: h("div", { class: "stack wide" }, h("div", { class: "headline" }, h("h1", {}, t("home.title")), link("/bots/new", { class: "button main" }, icon("plus"), t("nav.newBot"))), bots),
  };
}

function card(bot) {
  return link(`/bots/${part(bot.botId)}/chat`, { class: "card bot" },
    h("div", { class: "head" }, avatar(bot), h("h2", { class: "clip1" }, h("bdi", {}, bot.name)), statusTag(bot)),
    h("p", { class: "clip2" }, bot.description ?? bot.systemPrompt ?? t("home.noDescription")),
    h("p", { class: "tags" }, bot.channels.length ? bot.channels.map(channelTag) : h("span", { class: "hint" }, t("home.webReady"))));
}

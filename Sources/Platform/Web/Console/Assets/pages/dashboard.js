// Home: the user's bots, what they used against the allowance, what failed lately.
import { api, part } from "../core/api.js";
import { h } from "../core/dom.js";
import { compact, date, number, percent, t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { store } from "../core/store.js";
import { iconButton } from "../components/act.js";
import { avatar } from "../components/avatar.js";
import { barChart } from "../components/chart.js";
import { icon } from "../components/icon.js";
import { meter } from "../components/progress.js";
import { empty, loading, skeleton, tag } from "../components/states.js";
import { statusTag } from "./bot.js";
import { channelTag } from "./channel.js";
import { failureList } from "./failures.js";

/** How many bots are asked for their failures: the newest ones; each costs a request. */
const ASKED = 12;

export function page({ signal }) {
  const below = h("div", { class: "columns" });
  const bots = loading(() => store.bots(), (list) => {
    below.hidden = list.length === 0;
    if (!list.length) return empty("bot", t("home.none"), t("home.noneText"), link("/bots/new", { class: "button main" }, icon("plus"), t("home.create")));
    below.replaceChildren(usageCard(signal), failuresCard(list, signal));
    return h("div", { class: "grid" }, list.map(card));
  }, { placeholder: () => skeleton("cards", 3) });
  return {
    title: t("nav.home"),
    view: h("div", { class: "stack loose" },
      h("div", { class: "headline" }, h("h1", {}, t("home.title")), link("/bots/new", { class: "button main" }, icon("plus"), t("nav.newBot"))), bots, below),
  };
}

function card(bot) {
  return link(`/bots/${part(bot.botId)}`, { class: "card bot" },
    h("div", { class: "head" }, avatar(bot), h("h2", { class: "clip1" }, h("bdi", {}, bot.name)), statusTag(bot)),
    h("p", { class: "clip2" }, bot.description ?? bot.systemPrompt ?? t("home.noDescription")),
    h("p", { class: "tags" }, bot.channels.length ? bot.channels.map(channelTag) : tag(t("home.webReady"))));
}

function monthOf(offset) {
  const now = new Date();
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1)).toISOString().slice(0, 7);
}

// One month's usage, with steps to the months before. Months are UTC: that is how they are counted.
function usageCard(signal) {
  let offset = 0;
  const title = h("span", {});
  const back = iconButton("left", t("usage.before"), () => step(-1));
  const forth = iconButton("right", t("usage.after"), () => step(1));
  const body = loading(() => api.get(`/api/usage?month=${monthOf(offset)}`, { signal }), (usage) => {
    const days = daysOf(usage);
    const top = usage.bots.filter((bot) => bot.tokens > 0).sort((a, b) => b.tokens - a.tokens).slice(0, 5);
    return [
      h("p", { class: "figure-line" }, h("strong", {}, compact(usage.tokens)), h("span", { class: "hint" }, t("usage.of", { limit: compact(usage.maxMonthlyTokens) }))),
      meter(usage.tokens, usage.maxMonthlyTokens, t("usage.meter", { share: percent(usage.maxMonthlyTokens ? usage.tokens / usage.maxMonthlyTokens : 1) })),
      h("p", { class: "hint" }, t("usage.detail", { count: usage.invocations, input: compact(usage.inputTokens), output: compact(usage.outputTokens) })),
      barChart({ title: t("usage.chart"), labelHead: t("usage.day"), valueHead: t("usage.tokens"), points: days }),
      top.length > 1 && h("ul", { class: "shares" }, top.map((bot) => h("li", {}, h("bdi", { class: "clip1" }, bot.botId === "deleted" ? t("usage.deleted") : bot.name), h("span", { class: "hint" }, compact(bot.tokens)), meter(bot.tokens, usage.tokens, t("usage.shareOf", { name: bot.name ?? "" }))))),
    ];
  }, { placeholder: () => skeleton("lines", 5), attributes: { class: "stack" } });
  function step(by) {
    offset += by;
    draw();
    body.reload();
  }
  function draw() {
    title.textContent = date(`${monthOf(offset)}-15`, { year: "numeric", month: "long", timeZone: "UTC" });
    // What cannot be stepped to keeps its place, so that the other button does not move under the pointer.
    forth.disabled = offset === 0;
    back.disabled = offset === -11;
  }
  draw();
  return h("section", { class: "card stack", "aria-labelledby": "usage-title" },
    h("div", { class: "row spread" }, h("h2", { id: "usage-title" }, t("usage.title")), h("div", { class: "stepper" }, back, title, forth)), body);
}

// Every day of the month up to today: a day without use is a gap, not a missing bar.
function daysOf(usage) {
  const [year, month] = usage.month.split("-").map(Number);
  const last = usage.month === monthOf(0) ? new Date().getUTCDate() : new Date(Date.UTC(year, month, 0)).getUTCDate();
  const known = new Map(usage.days.map((day) => [day.date, day]));
  return Array.from({ length: last }, (_, index) => {
    const key = `${usage.month}-${String(index + 1).padStart(2, "0")}`;
    const day = known.get(key);
    return { label: date(key, { dateStyle: "medium", timeZone: "UTC" }), short: number(index + 1), value: day?.tokens ?? 0, detail: day && t("usage.runs", { count: day.invocations }) };
  });
}

function failuresCard(bots, signal) {
  const body = loading(async () => {
    const found = await Promise.all(bots.slice(0, ASKED).map((bot) => api.get(`/api/bots/${part(bot.botId)}/failures?limit=5`, { signal })
      .then((page) => page.items.map((item) => ({ ...item, bot })), (error) => { if (error.status === 404) return []; throw error; })));
    return found.flat().sort((a, b) => (a.timestamp < b.timestamp ? 1 : -1)).slice(0, 8);
  }, (items) => (items.length ? failureList(items, { named: true }) : h("p", { class: "calm" }, icon("check", 18), t("failures.none"))), { placeholder: () => skeleton("rows", 3) });
  return h("section", { class: "card stack", "aria-labelledby": "failures-title" }, h("h2", { id: "failures-title" }, t("failures.title")), body);
}

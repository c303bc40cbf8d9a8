// What the user's bots used: by day, by bot, by model.
import { api } from "../core/api.js";
import { h, name as shown } from "../core/dom.js";
import { compact, date, number, percent, t } from "../core/i18n.js";
import { barChart } from "../components/chart.js";
import { daysOf, monthOf, monthPicker } from "../components/month.js";
import { meter, share } from "../components/progress.js";
import { empty, loading, skeleton } from "../components/states.js";

export function page({ signal }) {
  let month = monthOf(0);
  const picker = monthPicker((value) => { month = value; body.reload(); });
  const body = loading(() => api.get(`/api/usage?month=${month}`, { signal }), draw, { placeholder: () => skeleton("cards", 3) });
  return { title: t("nav.usage"), view: h("div", { class: "stack" }, h("div", { class: "headline" }, h("h1", {}, t("nav.usage")), h("div", { class: "filter" }, picker)), body) };
}

function draw(usage) {
  const used = usage.maxMonthlyTokens ? usage.tokens / usage.maxMonthlyTokens : 1;
  const figure = (label, value) => h("div", { class: "figure-box" }, h("strong", {}, value), h("span", { class: "hint" }, label));
  const bots = usage.bots.filter((bot) => bot.tokens > 0 || bot.invocations > 0).sort((a, b) => b.tokens - a.tokens);
  const models = [...usage.models].sort((a, b) => b.tokens - a.tokens);
  return h("div", { class: "stack" },
    h("section", { class: "card stack", "aria-labelledby": "quota" }, h("h2", { id: "quota" }, t("usage.quota")),
      h("p", { class: "figure-line" }, h("strong", {}, compact(usage.tokens)), h("span", { class: "hint" }, t("usage.ofTokens", { limit: compact(usage.maxMonthlyTokens), share: percent(used) }))),
      meter(usage.tokens, usage.maxMonthlyTokens, t("usage.quota")),
      h("div", { class: "figures" }, figure(t("usage.runsHead"), number(usage.invocations)), figure(t("usage.input"), compact(usage.inputTokens)), figure(t("usage.output"), compact(usage.outputTokens)), figure(t("usage.cacheWrite"), compact(usage.cacheWriteTokens)), figure(t("usage.cacheRead"), compact(usage.cacheReadTokens))),
      h("p", { class: "hint" }, t("usage.counted"))),
    h("section", { class: "card stack", "aria-labelledby": "by-day" }, h("h2", { id: "by-day" }, t("usage.byDay")),
      barChart({ title: t("usage.byDay"), labelHead: t("usage.dayHead"), valueHead: t("usage.tokensHead"), points: daysOf(usage, (key, day, found) => ({
        label: date(key, { dateStyle: "medium", timeZone: "UTC" }), short: number(day), value: found?.tokens ?? 0, detail: found && t("usage.runCount", { count: found.invocations }),
      })) })),
    bots.length === 0 ? h("div", { class: "card" }, empty("gauge", t("usage.none"), t("usage.noneText"))) : h("div", { class: "columns" },
      table("by-bot", t("usage.byBot"), t("usage.bot"), bots.map((bot) => [bot.botId === "deleted" ? t("usage.deletedBots") : shown(bot.name), bot.tokens, t("usage.runCount", { count: bot.invocations })]), usage.tokens),
      table("by-model", t("usage.byModel"), t("usage.model"), models.map((one) => [one.model, one.tokens, null]), usage.tokens)));
}

function table(id, title, head, rows, total) {
  return h("section", { class: "card stack", "aria-labelledby": id }, h("h2", { id }, title), h("ul", { class: "shares", "aria-label": head }, rows.map(([label, tokens, note]) => h("li", {},
    h("bdi", { class: "clip1" }, label), h("span", { class: "hint" }, `${number(tokens)}${note ? ` · ${note}` : ""}`), share(tokens, total, t("usage.shareOfAll", { name: label }))))));
}

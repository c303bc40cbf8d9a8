// A bot at a glance: what it is, whether it is well, what it did and will do.
import { all, api, part } from "../core/api.js";
import { h } from "../core/dom.js";
import { compact, date, has, percent, t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { actButton } from "../components/act.js";
import { icon } from "../components/icon.js";
import { meter } from "../components/progress.js";
import { loading, skeleton, tag } from "../components/states.js";
import { ago, at } from "../components/time.js";
import { toast } from "../components/toast.js";
import { statusTag } from "./bot.js";
import { channelName, channelTone, groupName } from "./channel.js";
import { failureList } from "./failures.js";

export function tab({ bot, signal, config, reload }) {
  const base = `/bots/${part(bot.botId)}`;
  const path = `/api${base}`;
  const get = (rest) => api.get(`${path}${rest}`, { signal });

  const section = (title, body, more) => h("section", { class: "card stack" }, h("div", { class: "row spread" }, h("h2", {}, title), more), body);
  const goTo = (rest, label) => link(`${base}/${rest}`, { class: "button quiet small" }, label, icon("right", 16));

  const toggle = bot.status !== "created" && actButton(t(bot.status === "paused" ? "overview.resume" : "overview.pause"), async () => {
    await api.put(path, { status: bot.status === "paused" ? "active" : "paused" });
    toast(t(bot.status === "paused" ? "overview.resumed" : "overview.paused"));
    await reload();
  });

  const facts = h("dl", { class: "facts" },
    h("dt", {}, t("overview.status")), h("dd", {}, statusTag(bot)),
    h("dt", {}, t("overview.model")), h("dd", {}, model()),
    h("dt", {}, t("overview.zone")), h("dd", {}, bot.timezone),
    h("dt", {}, t("overview.created")), h("dd", {}, date(bot.createdAt)));
  function model() {
    const place = h("bdi", {}, bot.modelId ?? t("overview.defaultModel"));
    all("/api/providers", { signal }).then((providers) => {
      const provider = providers.find((one) => (bot.providerId ? one.providerId === bot.providerId : one.isDefault));
      if (provider) place.textContent = `${provider.providerName} · ${bot.modelId ?? provider.modelIds[0] ?? ""}`;
    }).catch(() => null);
    return place;
  }

  const about = section(t("overview.about"), [
    (bot.description || bot.systemPrompt) ? h("p", { class: "plain clip6" }, bot.description ?? bot.systemPrompt) : h("p", { class: "hint" }, t("overview.noAbout")), facts,
  ], goTo("settings", t("overview.edit")));

  const channels = section(t("bot.tab.channels"), loading(() => get("/channels?limit=50"), (page) => [
    h("ul", { class: "events" }, page.items.map((channel) => h("li", { class: "event" }, h("span", { class: `dot lead-dot ${channelTone(channel)}` }),
      h("span", { class: "grow" }, channelName(channel.channelType), channel.accountName && h("bdi", { class: "hint" }, ` @${channel.accountName}`)),
      tag(t(`channel.tone.${channelTone(channel)}`), channelTone(channel))))),
    !page.items.length && h("p", { class: "hint" }, t("overview.webReady")),
    !page.items.some((channel) => channel.channelType === "telegram") && (config?.channelTypes ?? []).includes("telegram") && h("div", {}, link(`${base}/channels`, { class: "button" }, icon("send", 18), t("overview.telegram"))),
  ], { attributes: { class: "stack" }, placeholder: () => skeleton("lines", 2) }), goTo("channels", t("overview.manage")));

  const usage = section(t("usage.title"), loading(() => api.get("/api/usage", { signal }), (data) => {
    const mine = data.bots.find((one) => one.botId === bot.botId) ?? { tokens: 0, invocations: 0 };
    return [h("p", { class: "figure-line" }, h("strong", {}, compact(mine.tokens)), h("span", { class: "hint" }, t("usage.tokensThisMonth"))),
      meter(mine.tokens, data.maxMonthlyTokens, t("usage.meter", { share: percent(data.maxMonthlyTokens ? mine.tokens / data.maxMonthlyTokens : 1) })),
      h("p", { class: "hint" }, t("overview.runs", { count: mine.invocations, limit: compact(data.maxMonthlyTokens) }))];
  }, { attributes: { class: "stack" }, placeholder: () => skeleton("lines", 3) }));

  const recent = section(t("overview.recent"), loading(() => get("/groups?limit=5"), (page) => (page.items.length
    ? h("ul", { class: "events" }, page.items.map((group) => h("li", {}, link(`${base}/conversations/${part(group.groupJid)}`, { class: "event" },
      h("span", { class: "grow clip1" }, h("bdi", {}, groupName(group)), h("span", { class: "hint" }, ` ${channelName(group.channelType)}`)), h("span", { class: "hint" }, ago(group.lastMessageAt))))))
    : [h("p", { class: "hint" }, t("overview.noConversations")), h("div", {}, link(`${base}/chat`, { class: "button main" }, icon("chat", 18), t("overview.chat")))]),
  { attributes: { class: "stack" }, placeholder: () => skeleton("rows", 3) }), goTo("conversations", t("overview.all")));

  const tasks = section(t("overview.next"), loading(() => get("/tasks?status=active&limit=50"), (page) => {
    const next = page.items.filter((task) => task.nextRun).sort((a, b) => (a.nextRun < b.nextRun ? -1 : 1)).slice(0, 4);
    return next.length ? h("ul", { class: "events" }, next.map((task) => h("li", {}, link(`${base}/tasks`, { class: "event" }, h("span", { class: "grow clip1" }, task.prompt), h("span", { class: "hint" }, at(task.nextRun))))))
      : h("p", { class: "hint" }, t("overview.noTasks"));
  }, { placeholder: () => skeleton("rows", 2) }), goTo("tasks", t("overview.all")));

  const failed = section(t("failures.title"), loading(() => get("/failures?limit=5"), (page) => (page.items.length ? failureList(page.items, { botId: bot.botId })
    : h("p", { class: "calm" }, icon("check", 18), t("failures.none"))), { placeholder: () => skeleton("rows", 2) }));

  const denied = section(t("denials.title"), loading(() => get("/denials?limit=5"), (page) => (page.items.length
    ? h("ul", { class: "events" }, page.items.map((item) => h("li", { class: "event" }, tag(has(`denials.${item.kind}`) ? t(`denials.${item.kind}`) : item.kind), h("bdi", { class: "grow clip1 mono" }, item.target), h("span", { class: "hint" }, ago(item.timestamp)))))
    : h("p", { class: "calm" }, icon("check", 18), t("denials.none"))), { placeholder: () => skeleton("rows", 2) }));

  return {
    view: h("div", { class: "stack" },
      h("div", { class: "actions" }, link(`${base}/chat`, { class: "button main" }, icon("chat", 18), t("overview.chat")), toggle),
      bot.status === "paused" && h("p", { class: "callout" }, t("overview.pausedNote")),
      h("div", { class: "columns" }, h("div", { class: "stack" }, about, recent, tasks), h("div", { class: "stack" }, channels, usage, failed, denied))),
  };
}

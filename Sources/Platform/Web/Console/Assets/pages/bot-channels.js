// The channels of a bot: how each is, and how to connect those that are not.
import { all, api, part } from "../core/api.js";
import { h, name, replace } from "../core/dom.js";
import { date, has, t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { store } from "../core/store.js";
import { actButton } from "../components/act.js";
import { copyable } from "../components/copy.js";
import { confirmDialog, openDialog } from "../components/dialog.js";
import { form } from "../components/form.js";
import { icon } from "../components/icon.js";
import { loading, skeleton, tag } from "../components/states.js";
import { ago } from "../components/time.js";
import { toast } from "../components/toast.js";
import { configFields, credentialFields } from "./channel-fields.js";
import { guide, nextSteps, sayHello } from "./channel-guide.js";
import { kindOf } from "./channel-kinds.js";
import { channelName, channelTone, groupName } from "./channel.js";

/** How often it is asked whether the first message has come, and for how long: milliseconds. */
const ASK = 3000;
const ASK_FOR = 10 * 60_000;

export function tab({ bot, config, signal }) {
  const base = `/api/bots/${part(bot.botId)}/channels`;
  const fresh = h("div");
  const opened = new Set();
  const list = loading(() => all(base, { signal }), draw, { placeholder: () => skeleton("cards", 2) });

  function draw(channels) {
    const types = config?.channelTypes ?? ["telegram", "web"];
    const missing = types.filter((type) => !channels.some((channel) => channel.channelType === type));
    const first = !channels.some((channel) => channel.channelType !== "web");
    return h("div", { class: "stack" },
      channels.map(card),
      missing.includes("web") && webCard(),
      missing.filter((type) => type !== "web").map((type) => offer(type, opened.has(type) || (first && missing.filter((one) => one !== "web").length === 1))));
  }

  function head(type, account, ...tags) {
    return h("div", { class: "head" }, h("span", { class: "group-icon" }, icon(kindOf(type).glyph)), h("h2", { class: "clip1" }, channelName(type), account && h("bdi", { class: "account-name" }, ` @${name(account)}`)), tags);
  }

  function webCard() {
    return h("article", { class: "card stack" }, head("web", "", tag(t("channels.ready"), "good")), h("p", { class: "hint" }, t("channels.webText")),
      h("div", { class: "actions" }, link(`/bots/${part(bot.botId)}/chat`, { class: "button" }, icon("chat", 18), t("channels.openChat"))));
  }

  // A channel that can be connected: folded unless it is the one thing to do here.
  function offer(type, open) {
    const body = h("div", { class: "offer-body" });
    const box = h("details", { class: "card offer", open }, h("summary", {}, h("span", { class: "group-icon" }, icon(kindOf(type).glyph)), h("span", { class: "grow" }, h("h2", {}, t("channels.connectType", { name: channelName(type) })),
      has(`channels.about.${type}`) && h("span", { class: "hint" }, t(`channels.about.${type}`))), icon("down")), body);
    const fill = () => {
      if (!box.open) { opened.delete(type); return; }
      opened.add(type);
      if (!body.firstChild) replace(body, guide({ type, base, connected }));
    };
    box.addEventListener("toggle", fill);
    fill();
    return h("article", {}, box);
  }

  // The channel is there: what to do now, and whether the first message has come.
  async function connected(channel) {
    const waiting = h("p", { class: "waiting", role: "status" }, h("span", { class: "pulse-dot" }), t("channels.waiting"));
    const heading = h("h2", { tabindex: "-1" }, t("channels.connected"));
    const steps = nextSteps(channel);
    replace(fresh, h("section", { class: "card good stack" }, heading, steps.length > 0 && h("ol", { class: "steps" }, steps),
      channel.verifyToken && [h("p", {}, t("channels.verifyToken")), copyable(channel.verifyToken, t("channels.credential.verifyToken"))],
      channel.webhookUrl && h("div", { class: "stack tight" }, h("span", { class: "hint" }, t("channels.webhook")), copyable(channel.webhookUrl, t("channels.webhook"))),
      h("div", { class: "actions" }, sayHello(channel)), waiting));
    store.changed();
    await list.reload();
    heading.focus();
    const end = Date.now() + ASK_FOR;
    const ask = async () => {
      if (signal.aborted || !waiting.isConnected) return;
      const page = await api.get(`/api/bots/${part(bot.botId)}/groups?channelType=${part(channel.channelType)}&limit=1`, { signal }).catch(() => ({ items: [] }));
      const group = page.items[0];
      if (group) replace(waiting, icon("check", 18), h("span", {}, t("channels.arrived", { name: name(groupName(group)) })), link(`/bots/${part(bot.botId)}/conversations/${part(group.groupJid)}`, { class: "button quiet small" }, t("channels.look")));
      else if (Date.now() > end) waiting.remove();
      else setTimeout(ask, ASK);
    };
    ask();
  }

  function card(channel) {
    const type = channel.channelType;
    const kind = kindOf(type);
    const path = `${base}/${part(type)}`;
    const tone = channelTone(channel);
    const status = channel.healthStatus === "unhealthy" ? "unhealthy" : channel.status;
    const result = h("p", { class: channel.statusDetail && tone === "bad" ? "error" : "hint", role: "status" }, channel.statusDetail ?? "");
    const test = actButton(t("channels.test"), async () => {
      result.textContent = "";
      const answer = await api.post(`${path}/test`, {}, { signal });
      result.textContent = `${t(answer.ok ? "channels.works" : "channels.fails")} ${answer.detail ?? ""}`.trim();
      result.className = answer.ok ? "hint" : "error";
    }, { glyph: "refresh" });
    const mode = kind.builtin ? null : t(`channels.mode.${channel.connectionMode}`);
    return h("article", { class: ["card stack", tone === "bad" && "bad"], "aria-label": channelName(type) },
      head(type, channel.accountName, tag(t(`channels.status.${status}`), tone)),
      kind.builtin ? h("p", { class: "hint" }, t("channels.webText")) : h("dl", { class: "facts" },
        h("dt", {}, t("channels.receives")), h("dd", {}, mode),
        h("dt", {}, t("channels.checked")), h("dd", {}, channel.lastHealthCheck ? ago(channel.lastHealthCheck) : t("channels.never"), channel.consecutiveFailures > 0 && ` · ${t("channels.failures", { count: channel.consecutiveFailures })}`),
        h("dt", {}, t("channels.since")), h("dd", {}, date(channel.createdAt)),
        channel.webhookUrl && [h("dt", {}, t("channels.webhook")), h("dd", {}, copyable(channel.webhookUrl, t("channels.webhook")))]),
      channel.status === "pending_webhook" && h("p", { class: "callout" }, t("channels.pending")),
      result,
      h("div", { class: "actions" },
        kind.builtin ? link(`/bots/${part(bot.botId)}/chat`, { class: "button" }, icon("chat", 18), t("channels.openChat")) : [
          test,
          kind.config.length > 0 && h("button", { type: "button", onclick: () => settings(channel, kind, path) }, icon("settings", 18), h("span", {}, t("channels.settings"))),
          kind.credentials.length > 0 && h("button", { type: "button", onclick: () => credentials(channel, kind, path) }, icon("key", 18), h("span", {}, t("channels.newCredentials"))),
          h("button", { type: "button", class: "danger", onclick: () => disconnect(channel, path) }, h("span", {}, t("channels.disconnect"))),
        ]));
  }

  function credentials(channel, kind, path) {
    const fields = credentialFields(kind);
    const dialog = openDialog({ title: t("channels.newCredentialsOf", { name: channelName(channel.channelType) }), body: [h("p", { class: "hint" }, t("channels.newCredentialsText")), form({
      children: fields.boxes, label: t("channels.checkAndSave"),
      submit: async () => {
        await api.put(path, { credentials: fields.value() });
        dialog.close();
        toast(t("channels.saved"));
        await changed();
      },
    })] });
    fields.boxes[0]?.input.focus();
  }

  function settings(channel, kind, path) {
    const fields = configFields(kind, channel.config);
    const dialog = openDialog({ title: t("channels.settingsOf", { name: channelName(channel.channelType) }), body: form({
      children: fields.boxes, label: t("action.save"),
      submit: async () => {
        await api.put(path, { config: fields.value() });
        dialog.close();
        toast(t("channels.saved"));
        await changed();
      },
    }) });
  }

  async function disconnect(channel, path) {
    const done = await confirmDialog({
      title: t("channels.disconnectTitle", { name: channelName(channel.channelType) }), text: t("channels.disconnectText"), action: t("channels.disconnect"), danger: true,
      // Somebody else may have been faster: gone is gone.
      work: () => api.remove(path).catch((error) => { if (error.status !== 404) throw error; }),
    });
    if (!done) return;
    replace(fresh);
    toast(t("channels.disconnected"));
    await changed();
  }

  function changed() {
    store.changed();
    return list.reload();
  }

  return { view: h("div", { class: "stack" }, fresh, list) };
}

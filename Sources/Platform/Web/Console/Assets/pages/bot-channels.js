// Connecting Telegram, step by step, and the state of a bot's channels.
import { api, part } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { when } from "../core/i18n.js";
import { act } from "../components/act.js";
import { field } from "../components/form.js";
import { toast } from "../components/toast.js";
import { markdown } from "../components/markdown.js";

const MODES = { builtin: "Part of this console.", polling: "Asks Telegram for new messages (long polling).", webhook: "Telegram delivers messages here (webhook).", stream: "Holds a connection open (stream)." };

export function tab({ bot, config }) {
  const box = h("div", { class: "stack" });
  const base = `/api/bots/${part(bot.botId)}/channels`;

  async function show(steps) {
    try {
      const { items } = await api.get(`${base}?limit=50`);
      const has = (type) => items.some((item) => item.channelType === type);
      replace(box,
        steps?.length && h("div", { class: "card good" }, h("h3", {}, "Connected. What to do now"), h("ol", {}, steps.map((step) => h("li", {}, markdown(step))))),
        items.map(card),
        !has("telegram") && (config?.channelTypes ?? ["telegram"]).includes("telegram") && guide(),
        !items.length && h("p", { class: "hint" }, "Web chat needs no set-up: it is there from the first message."));
    } catch (error) { replace(box, h("p", { class: "error" }, error.message)); }
  }

  function card(channel) {
    const result = h("p", { class: "hint", role: "status" }, channel.statusDetail ?? "");
    const names = { telegram: "Telegram", web: "Web chat" };
    const test = h("button", { type: "button", onclick: () => act(test, async () => {
      const answer = await api.post(`${base}/${channel.channelType}/test`);
      result.textContent = `${answer.ok ? "It works." : "It does not work."} ${answer.detail ?? ""}`;
      result.className = answer.ok ? "hint" : "error";
    }) }, "Test");
    const remove = h("button", { type: "button", class: "danger", onclick: () => {
      if (!confirm(`Disconnect ${names[channel.channelType] ?? channel.channelType}? Its messages stay.`)) return;
      act(remove, async () => { await api.remove(`${base}/${channel.channelType}`); toast("Disconnected."); await show(); });
    } }, "Disconnect");
    return h("article", { class: "card" },
      h("h3", {}, names[channel.channelType] ?? channel.channelType, channel.accountName && ` · @${channel.accountName}`,
        h("span", { class: `tag ${channel.status} ${channel.healthStatus}` }, channel.healthStatus === "unhealthy" ? "unhealthy" : channel.status.replaceAll("_", " "))),
      h("p", { class: "hint" }, MODES[channel.connectionMode] ?? `Receives by ${channel.connectionMode}.`, channel.lastHealthCheck && ` Last checked ${when(channel.lastHealthCheck)}.`),
      result, h("div", { class: "actions" }, test, channel.channelType !== "web" && remove));
  }

  function guide() {
    const token = field("Bot token", h("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true, placeholder: "123456789:AAF…" }),
      { hint: "It is kept encrypted and never shown again." });
    const submit = h("button", { class: "main", type: "submit" }, "Check and connect");
    const form = h("form", { class: "stack" }, token, h("div", { class: "actions" }, submit));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      token.fail();
      act(submit, async () => {
        try {
          const channel = await api.post(base, { channelType: "telegram", credentials: { botToken: token.input.value.trim() } });
          token.input.value = "";
          await show(channel.setupInstructions ?? []);
        } catch (error) {
          if (error.status !== 400 && error.status !== 422) throw error;
          token.fail(error.errors[0]?.message ?? error.message);
        }
      });
    });
    return h("article", { class: "card" }, h("h3", {}, "Connect Telegram"),
      h("ol", { class: "steps" },
        h("li", {}, "In Telegram, open ", h("a", { href: "https://t.me/BotFather", target: "_blank", rel: "noopener noreferrer" }, "@BotFather"), " and send ", h("code", {}, "/newbot"), "."),
        h("li", {}, "Choose a name, then a user name that ends in ", h("code", {}, "bot"), "."),
        h("li", {}, "BotFather answers with a token. Copy it here; it is checked with Telegram before anything is saved.")),
      form);
  }

  show();
  return { view: box };
}

// A new bot: a name, what it is for, a model; then the choice of what comes next.
import { api, all, part } from "../core/api.js";
import { h, randomId, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { store } from "../core/store.js";
import { avatar } from "../components/avatar.js";
import { icon } from "../components/icon.js";
import { field, form, options } from "../components/form.js";

export function page({ config }) {
  const place = h("div", { class: "stack narrow" });
  const name = field(t("newbot.name"), h("input", { required: true, maxlength: 100, autocomplete: "off", placeholder: "Claw" }), { name: "name" });
  const about = field(t("newbot.about"), h("textarea", { rows: 4, maxlength: 10000, placeholder: t("newbot.aboutExample") }), { hint: t("newbot.aboutHint"), name: "systemPrompt", optional: true });
  const model = field(t("newbot.model"), options(h("select"), [["", t("newbot.defaultModel")]]), { name: "modelId" });
  model.hidden = true;
  // Only a deployment with a choice asks for one.
  all("/api/providers").then((providers) => {
    const models = providers.flatMap((provider) => provider.modelIds.map((id) => [JSON.stringify([provider.providerId, id]), `${provider.providerName}: ${id}`]));
    if (models.length < 2) return;
    options(model.input, [["", t("newbot.defaultModel")], ...models]);
    model.hidden = false;
  }).catch(() => null);
  // The same key for every try: a lost answer does not make a second bot.
  const key = randomId();

  replace(place, h("h1", {}, t("newbot.title")), h("p", { class: "lead" }, t("newbot.lead")),
    h("div", { class: "card" }, form({ children: [name, about, model], label: t("newbot.create"), actions: [link("/", { class: "button quiet" }, t("action.cancel"))], submit: async () => {
      const body = { name: name.input.value, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC" };
      if (about.input.value.trim()) body.systemPrompt = about.input.value;
      if (model.input.value) [body.providerId, body.modelId] = JSON.parse(model.input.value);
      const bot = await api.post("/api/bots", body, { headers: { "Idempotency-Key": key } });
      store.changed();
      next(bot);
    } })));

  function next(bot) {
    const base = `/bots/${part(bot.botId)}`;
    const telegram = (config?.channelTypes ?? []).includes("telegram");
    const heading = h("h1", { tabindex: "-1" }, avatar(bot), t("newbot.ready", { name: bot.name }));
    replace(place, heading, h("p", { class: "lead" }, t("newbot.next")),
      h("div", { class: "grid choices-grid" },
        link(`${base}/chat`, { class: "card choice" }, icon("chat", 28), h("h2", {}, t("newbot.chat")), h("p", {}, t("newbot.chatText"))),
        telegram && link(`${base}/channels`, { class: "card choice" }, icon("send", 28), h("h2", {}, t("newbot.telegram")), h("p", {}, t("newbot.telegramText"))),
        link(base, { class: "card choice" }, icon("settings", 28), h("h2", {}, t("newbot.look")), h("p", {}, t("newbot.lookText")))));
    heading.focus();
  }
  queueMicrotask(() => name.input.focus());
  return { view: place, title: t("newbot.title") };
}

// The model a bot thinks with, its engine and its limits.
import { all } from "../core/api.js";
import { h, name as shown } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { field, form, options } from "../components/form.js";
import { loading, skeleton } from "../components/states.js";

export function modelSection({ bot, save, signal }) {
  return loading(() => all("/api/providers", { signal }), (providers) => draw(bot, save, providers), { placeholder: () => h("div", { class: "card" }, skeleton("lines", 6)) });
}

function draw(bot, save, providers) {
  const pairs = providers.flatMap((provider) => provider.modelIds.map((id) => [JSON.stringify([provider.providerId, id]), `${shown(provider.providerName)}: ${id}`]));
  const standard = providers.find((provider) => provider.isDefault);
  const provider = providers.find((one) => one.providerId === bot.providerId);
  const now = bot.providerId ? JSON.stringify([bot.providerId, bot.modelId ?? provider?.modelIds[0] ?? ""]) : "";
  // A model that is no longer offered is shown as what it is, not as another one.
  if (now && !pairs.some(([key]) => key === now)) pairs.push([now, t("settings.modelGone", { model: bot.modelId ?? bot.providerId })]);
  const model = field(t("settings.model"), options(h("select"), [["", standard ? t("settings.modelDefault", { model: standard.modelIds[0] ?? "" }) : t("settings.modelDefaultNone")], ...pairs], now), { name: "modelId" });
  const engine = field(t("settings.engine"), options(h("select"), ["native", "claude-code"].map((one) => [one, t(`settings.engine.${one}`)]), bot.engine), { hint: t("settings.engineHint"), name: "engine" });
  const whole = (label, value, min, max, more) => field(label, h("input", { type: "number", inputmode: "numeric", step: 1, min, max, value: value ?? "", required: !more.optional }), more);
  const limits = bot.containerConfig;
  const turns = whole(t("settings.maxTurns"), limits.maxTurns, 1, 500, { hint: t("settings.maxTurnsHint"), name: "containerConfig.maxTurns" });
  const seconds = whole(t("settings.timeout"), limits.timeoutSeconds, 30, 28800, { hint: t("settings.timeoutHint"), name: "containerConfig.timeoutSeconds" });
  const tokens = whole(t("settings.maxTokens"), limits.maxRunTokens, 10000, 1000000000, { hint: t("settings.maxTokensHint"), name: "containerConfig.maxRunTokens", optional: true });
  return h("section", { class: "card stack" }, h("h2", {}, t("settings.section.model")), form({
    children: [model, engine, h("h3", {}, t("settings.limits")), turns, seconds, tokens], label: t("action.save"),
    submit: () => {
      const [providerId, modelId] = model.input.value ? JSON.parse(model.input.value) : [null, null];
      const values = { engine: engine.input.value, containerConfig: { maxTurns: Number(turns.input.value), timeoutSeconds: Number(seconds.input.value), ...(tokens.input.value ? { maxRunTokens: Number(tokens.input.value) } : {}) } };
      const same = ["maxTurns", "timeoutSeconds", "maxRunTokens"].every((key) => values.containerConfig[key] === limits[key]);
      if (same) delete values.containerConfig;
      // Provider and model are one choice: what was not chosen is not sent either.
      if (model.input.value !== now) Object.assign(values, { providerId, modelId });
      return save(values);
    },
  }));
}

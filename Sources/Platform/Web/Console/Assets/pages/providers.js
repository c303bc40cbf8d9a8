// Model providers: where models are asked, with which key. Administrators only; keys are never shown.
import { all, api, part } from "../core/api.js";
import { h, name as shown } from "../core/dom.js";
import { number, t } from "../core/i18n.js";
import { actButton } from "../components/act.js";
import { confirmDialog } from "../components/dialog.js";
import { icon } from "../components/icon.js";
import { empty, loading, skeleton, tag } from "../components/states.js";
import { toast } from "../components/toast.js";
import { providerDialog } from "./provider-form.js";

export function page({ signal }) {
  const list = loading(() => all("/api/admin/providers", { signal }), (providers) => (providers.length ? h("div", { class: "stack" }, providers.map(card))
    : empty("bolt", t("providers.none"), t("providers.noneText"), add())), { placeholder: () => skeleton("cards", 3) });
  const reload = () => list.reload();
  const add = () => h("button", { type: "button", class: "main", onclick: () => providerDialog({ saved: reload }) }, icon("plus", 18), h("span", {}, t("providers.new")));

  function card(provider) {
    const path = `/api/admin/providers/${part(provider.providerId)}`;
    const result = h("p", { class: "hint", role: "status" });
    const test = actButton(t("providers.test"), async () => {
      result.textContent = "";
      const answer = await api.post(`${path}/test`, {}, { signal });
      result.className = answer.ok ? "hint" : "error";
      result.textContent = answer.ok ? t("providers.works", { time: number(answer.latencyMs) }) : `${t("providers.fails")} ${answer.detail ?? ""}`.trim();
    }, { glyph: "refresh" });
    const standard = !provider.isDefault && actButton(t("providers.makeDefault"), async () => {
      await api.put(path, { isDefault: true });
      toast(t("state.saved"));
      await reload();
    });
    const remove = h("button", { type: "button", class: "danger", onclick: async () => {
      if (await confirmDialog({ title: t("providers.deleteTitle", { name: shown(provider.providerName) }), text: t("providers.deleteText"), action: t("action.delete"), danger: true,
        work: () => api.remove(path).catch((error) => { if (error.status !== 404) throw error; }) })) reload();
    } }, t("action.delete"));
    return h("article", { class: "card stack", "aria-label": shown(provider.providerName) },
      h("div", { class: "head" }, h("span", { class: "group-icon" }, icon("bolt")), h("h2", { class: "clip1" }, h("bdi", {}, shown(provider.providerName))), provider.isDefault && tag(t("providers.default"), "accent")),
      h("dl", { class: "facts" },
        h("dt", {}, t("providers.type")), h("dd", {}, t(`providers.type.${provider.providerType}`)),
        provider.baseUrl && [h("dt", {}, t("providers.baseUrl")), h("dd", { class: "mono" }, provider.baseUrl)],
        provider.region && [h("dt", {}, t("providers.region")), h("dd", {}, provider.region)],
        h("dt", {}, t("providers.models")), h("dd", {}, provider.modelIds.map((id, index) => [index > 0 && ", ", h("code", {}, id)])),
        provider.providerType !== "demo" && [h("dt", {}, t("providers.key")), h("dd", {}, t(provider.hasApiKey ? "providers.keyStored" : "providers.noKey"))]),
      result,
      h("div", { class: "actions" }, test, h("button", { type: "button", onclick: () => providerDialog({ provider, saved: reload }) }, icon("edit", 18), h("span", {}, t("action.edit"))), standard, remove));
  }
  return { title: t("nav.adminProviders"), view: h("div", { class: "stack" }, h("div", { class: "headline" }, h("h1", {}, t("nav.adminProviders")), add()), list) };
}

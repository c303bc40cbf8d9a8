// Making and changing a model provider.
import { api, part } from "../core/api.js";
import { h, randomId } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { openDialog } from "../components/dialog.js";
import { check, field, form, options } from "../components/form.js";
import { toast } from "../components/toast.js";

const TYPES = ["anthropic-compatible-api", "openai-compatible-api", "bedrock", "demo"];
const compatible = (type) => type.endsWith("-compatible-api");

/** `provider` is the one to change, absent for a new one. `saved()` is called afterwards. */
export function providerDialog({ provider, saved }) {
  const text = (value, more = {}) => h("input", { value: value ?? "", autocomplete: "off", spellcheck: "false", ...more });
  const name = field(t("providers.name"), text(provider?.providerName, { required: true, maxlength: 100 }), { name: "providerName" });
  const type = field(t("providers.type"), options(h("select", { disabled: Boolean(provider) }), TYPES.map((one) => [one, t(`providers.type.${one}`)]), provider?.providerType ?? TYPES[0]), { hint: provider && t("providers.typeFixed"), name: "providerType" });
  const base = field(t("providers.baseUrl"), text(provider?.baseUrl, { type: "url", maxlength: 500, class: "mono", placeholder: "https://api.anthropic.com" }), { name: "baseUrl" });
  const region = field(t("providers.region"), text(provider?.region, { maxlength: 40, placeholder: "us-east-1" }), { name: "region", optional: true });
  const key = field(t("providers.key"), h("input", { type: "password", maxlength: 2000, autocomplete: "off", spellcheck: "false" }), { hint: t(provider?.hasApiKey ? "providers.keyKept" : "providers.keyHint"), name: "apiKey", optional: true });
  const forget = provider?.hasApiKey ? check(t("providers.forgetKey")) : null;
  const auth = field(t("providers.auth"), options(h("select"), [["", t("providers.auth.standard")], ["api-key", t("providers.auth.api-key")], ["bearer", t("providers.auth.bearer")]], provider?.authType ?? ""), { name: "authType" });
  const models = field(t("providers.models"), h("textarea", { rows: 4, required: true, class: "paper", spellcheck: "false", autocapitalize: "off", value: provider?.modelIds.join("\n") ?? "" }), { hint: t("providers.modelsHint"), name: "modelIds" });
  const fallback = field(t("providers.fallback"), text(provider?.fallbackModelId, { maxlength: 200, class: "mono" }), { hint: t("providers.fallbackHint"), name: "fallbackModelId", optional: true });
  const most = field(t("providers.concurrency"), h("input", { type: "number", min: 1, max: 10000, step: 1, inputmode: "numeric", value: provider?.maxConcurrency ?? "" }), { hint: t("providers.concurrencyHint"), name: "maxConcurrency", optional: true });
  const standard = check(t("providers.isDefault"), { checked: provider?.isDefault ?? false, name: "isDefault" });
  const draw = () => {
    const kind = type.input.value;
    base.hidden = auth.hidden = !compatible(kind);
    base.input.required = compatible(kind);
    base.input.placeholder = kind === "openai-compatible-api" ? "https://api.openai.com/v1" : "https://api.anthropic.com";
    region.hidden = kind !== "bedrock";
    key.hidden = kind === "demo";
  };
  type.input.addEventListener("input", draw);
  draw();

  function body() {
    const kind = type.input.value;
    const values = { providerName: name.input.value.trim(), modelIds: [...new Set(models.input.value.split("\n").map((one) => one.trim()).filter(Boolean))], isDefault: standard.input.checked };
    values.fallbackModelId = fallback.input.value.trim() || null;
    values.maxConcurrency = most.input.value ? Number(most.input.value) : null;
    if (compatible(kind)) Object.assign(values, { baseUrl: base.input.value.trim(), authType: auth.input.value || null });
    if (kind === "bedrock") values.region = region.input.value.trim() || null;
    if (key.input.value && kind !== "demo") values.apiKey = key.input.value;
    return values;
  }
  const once = randomId();
  const dialog = openDialog({ title: t(provider ? "providers.editTitle" : "providers.new"), kind: "wide", body: form({
    children: [name, type, base, region, key, forget, auth, models, fallback, most, standard], label: t("action.save"), actions: [h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("action.cancel"))],
    submit: async () => {
      const values = body();
      if (provider) {
        const changes = Object.fromEntries(Object.entries(values).filter(([field, value]) => JSON.stringify(value) !== JSON.stringify(provider[field] ?? null)));
        if (forget?.input.checked && !changes.apiKey) changes.apiKey = null;
        if (Object.keys(changes).length === 0) { dialog.close(); toast(t("state.nothingNew"), "info"); return; }
        await api.put(`/api/admin/providers/${part(provider.providerId)}`, changes);
      } else {
        const made = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
        await api.post("/api/admin/providers", { ...made, providerType: type.input.value }, { headers: { "Idempotency-Key": once } });
      }
      dialog.close();
      toast(t("state.saved"));
      saved();
    },
  }) });
  name.input.focus();
}

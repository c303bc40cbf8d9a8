// The fields of a channel's credentials and settings, made from what channel-kinds.js says.
import { h } from "../core/dom.js";
import { has, t } from "../core/i18n.js";
import { check, field, options } from "../components/form.js";

const hintOf = (name) => (has(`channels.configHint.${name}`) ? t(`channels.configHint.${name}`) : undefined);

/** `{boxes, value()}`: credentials as they were typed, without empty optional ones. */
export function credentialFields(kind) {
  const boxes = kind.credentials.map((one) => field(t(`channels.credential.${one.name}`), h("input", {
    type: one.secret ? "password" : "text", autocomplete: "off", spellcheck: "false", required: !one.optional, maxlength: 2000, placeholder: one.placeholder,
  }), { name: `credentials.${one.name}`, optional: one.optional, hint: one.secret ? t("channels.secretHint") : undefined }));
  return {
    boxes,
    value() {
      const found = {};
      kind.credentials.forEach((one, index) => {
        const text = boxes[index].input.value.trim();
        if (text) found[one.name] = text;
      });
      return found;
    },
    clear() { for (const box of boxes) box.input.value = ""; },
  };
}

/** `{boxes, value()}`: every setting of a channel; what is left to the platform is null. */
export function configFields(kind, config) {
  const parts = kind.config.map((one) => {
    const name = `config.${one.name}`;
    const label = t(`channels.config.${one.name}`);
    const hint = hintOf(one.name);
    const now = config[one.name] ?? one.standard;
    if (one.kind === "flag") {
      const box = check(label, { checked: Boolean(now), hint, name });
      return { box, name: one.name, get: () => box.input.checked };
    }
    if (one.kind === "choice") {
      const pairs = one.values.map((value) => [value, t(`channels.value.${value}`)]);
      if (one.automatic) pairs.unshift(["", t("channels.value.automatic")]);
      const box = field(label, options(h("select"), pairs, now ?? ""), { hint, name });
      return { box, name: one.name, get: () => box.input.value || null };
    }
    const box = field(label, h("input", { value: now ?? "", maxlength: 200, autocomplete: "off" }), { hint, name, optional: true });
    return { box, name: one.name, get: () => box.input.value.trim() || null };
  });
  return { boxes: parts.map((one) => one.box), value: () => Object.fromEntries(parts.map((one) => [one.name, one.get()])) };
}

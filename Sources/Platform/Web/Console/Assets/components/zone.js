// Time zones: a field that completes IANA names and says what time it is there.
import { h, randomId } from "../core/dom.js";
import { when, t } from "../core/i18n.js";
import { field } from "./form.js";

/** The zone that this browser shows times in. */
export const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function isZone(name) {
  try { return Boolean(new Intl.DateTimeFormat("en", { timeZone: name })) && name !== ""; } catch { return false; }
}

const names = () => {
  const known = Intl.supportedValuesOf?.("timeZone") ?? [];
  return known.includes("UTC") ? known : ["UTC", ...known];
};

/** A `field` for a zone. Names that the browser does not know are refused at once. */
export function zoneField(label, value, { name = "timezone" } = {}) {
  const list = h("datalist", { id: `zones-${randomId()}` }, names().map((one) => h("option", { value: one })));
  const input = h("input", { value, required: true, maxlength: 64, autocomplete: "off", spellcheck: "false", list: list.id });
  const box = field(label, input, { hint: " ", name });
  const hint = box.querySelector(".hint");
  const check = () => {
    const zone = input.value.trim();
    const known = isZone(zone);
    input.setCustomValidity(zone === "" || known ? "" : t("zone.unknown"));
    hint.textContent = known ? t("zone.now", { time: when(Date.now(), { zone }) }) : t("zone.example");
  };
  input.addEventListener("input", check);
  check();
  box.append(list);
  return box;
}

// Which hosts a bot may reach.
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { field, form } from "../components/form.js";

/** As the server checks it (API.md §3.1, `Egress`). */
const HOST = /^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?$/;
const MOST = 100;

export function networkSection({ bot, save }) {
  const { egress } = bot;
  const radio = (value) => h("label", { class: "card pick" }, h("input", { type: "radio", name: "egress", value, checked: egress.default === value }), h("span", {}, h("b", {}, t(`settings.egress.${value}`)), h("span", { class: "hint" }, t(`settings.egressHint.${value}`))));
  const pick = h("fieldset", { class: "picks" }, h("legend", { class: "unseen" }, t("settings.section.network")), radio("allow"), radio("deny"));
  const hosts = (key) => {
    const box = field(t(`settings.egressList.${key}`), h("textarea", { rows: 5, class: "paper", spellcheck: "false", autocapitalize: "off", placeholder: "example.com\n*.example.org\napi.example.net:8443", value: egress[key].join("\n") }), { hint: t(`settings.egressListHint.${key}`), name: `egress.${key}`, optional: true });
    return { box, list: () => [...new Set(box.input.value.split(/[\s,]+/).map((one) => one.toLowerCase()).filter(Boolean))] };
  };
  const allow = hosts("allow");
  const deny = hosts("deny");
  const wrong = ({ box, list }) => {
    const entries = list();
    const bad = entries.filter((one) => !HOST.test(one) || Number(one.split(":")[1] ?? 1) > 65535 || one.split(":")[1] === "0");
    box.fail(bad.length ? t("settings.badHost", { host: bad[0].slice(0, 80) }) : entries.length > MOST ? t("settings.tooManyHosts", { count: MOST }) : undefined);
    if (bad.length || entries.length > MOST) { box.input.focus(); return true; }
    return false;
  };
  return h("section", { class: "card stack" }, h("h2", {}, t("settings.section.network")), h("p", { class: "hint" }, t("settings.networkText")), form({
    children: [pick, allow.box, deny.box], label: t("action.save"),
    submit: async () => {
      if ([deny, allow].filter(wrong).length) return;
      await save({ egress: { default: pick.querySelector(":checked").value, allow: allow.list(), deny: deny.list() } });
      for (const one of [allow, deny]) one.box.input.value = one.list().join("\n");
    },
  }));
}

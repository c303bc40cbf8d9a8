// The user's own account: who it is, how it looks here, and how it is protected.
import { account, api } from "../core/api.js";
import { h, name as shown } from "../core/dom.js";
import { date, number, t, when } from "../core/i18n.js";
import { link } from "../core/router.js";
import { ownChoices } from "../core/shell.js";
import { confirmDialog } from "../components/dialog.js";
import { field, form, newPassword } from "../components/form.js";
import { meter } from "../components/progress.js";
import { loading, skeleton, tag } from "../components/states.js";
import { toast } from "../components/toast.js";
import { ownZone } from "../components/zone.js";
import { secondFactor } from "./second-factor.js";

export function page({ config, signal }) {
  const profile = loading(() => api.get("/api/me", { signal }), (me) => h("dl", { class: "facts" },
    h("dt", {}, t("account.email")), h("dd", {}, me.email),
    h("dt", {}, t("account.name")), h("dd", {}, h("bdi", {}, shown(me.displayName))),
    h("dt", {}, t("account.plan")), h("dd", {}, t(`plan.${me.plan}`), me.isAdmin && [" ", tag(t("account.admin"), "accent")]),
    h("dt", {}, t("account.bots")), h("dd", {}, t("account.of", { used: number(me.botCount), limit: number(me.quota.maxBots) })),
    h("dt", {}, t("account.tokens")), h("dd", { class: "stack tight" }, t("account.of", { used: number(me.usage.tokens), limit: number(me.quota.maxMonthlyTokens) }), meter(me.usage.tokens, me.quota.maxMonthlyTokens, t("account.tokens"))),
    h("dt", {}, t("account.since")), h("dd", {}, date(me.createdAt))), { placeholder: () => skeleton("lines", 5) });

  const looks = h("dl", { class: "facts centred" },
    h("dt", {}, t("account.looks")), h("dd", {}, ownChoices()),
    h("dt", {}, t("account.zone")), h("dd", {}, t("account.zoneNow", { zone: ownZone(), time: when(Date.now()) }), h("p", { class: "hint" }, t("account.zoneHint"))));

  const selfHosted = config?.authMode !== "cognito";
  return {
    title: t("nav.account"),
    view: h("div", { class: "stack account" }, h("h1", {}, t("nav.account")),
      h("div", { class: "columns" },
        h("div", { class: "stack" },
          h("section", { class: "card stack" }, h("div", { class: "row spread" }, h("h2", {}, t("account.profile")), link("/usage", { class: "button quiet small" }, t("nav.usage"))), profile),
          h("section", { class: "card stack" }, h("h2", {}, t("account.here")), looks),
          h("section", { class: "card stack" }, h("h2", {}, t("account.sessions")), h("p", { class: "hint" }, t("account.sessionsText")), h("div", { class: "actions" }, everywhere()))),
        selfHosted && h("div", { class: "stack" }, password(), secondFactor({ signal })))),
  };
}

function everywhere() {
  return h("button", { type: "button", onclick: () => confirmDialog({ title: t("account.everywhereTitle"), text: t("account.everywhereText"), action: t("account.everywhere"), danger: true, work: () => account.logout(true) }) }, t("account.everywhere"));
}

function password() {
  const current = field(t("account.current"), h("input", { type: "password", autocomplete: "current-password", required: true, maxlength: 128 }), { name: "currentPassword" });
  const fresh = newPassword();
  const element = form({
    children: [current, fresh.boxes], label: t("account.change"), kind: "",
    submit: async () => {
      if (!fresh.agree()) return;
      try {
        await account.changePassword(current.input.value, fresh.value);
      } catch (error) {
        if (error.slug !== "invalid-credentials") throw error;
        current.fail(t("account.wrongPassword"));
        current.input.focus();
        return;
      }
      element.reset();
      toast(t("account.changed"));
    },
  });
  return h("section", { class: "card stack" }, h("h2", {}, t("account.password")), element);
}

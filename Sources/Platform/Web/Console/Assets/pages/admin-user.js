// One user: plan, allowance, state.
import { api, part } from "../core/api.js";
import { h, name as shown, replace } from "../core/dom.js";
import { date, number, t } from "../core/i18n.js";
import { link, setTitle } from "../core/router.js";
import { actButton } from "../components/act.js";
import { confirmDialog, openDialog } from "../components/dialog.js";
import { options } from "../components/form.js";
import { icon } from "../components/icon.js";
import { meter } from "../components/progress.js";
import { loading, skeleton, tag } from "../components/states.js";
import { ago } from "../components/time.js";
import { toast } from "../components/toast.js";
import { passwordOnce, PLANS, userTag } from "./admin-users.js";
import { quotaForm } from "./quota-form.js";

export function page({ params, go, signal }) {
  const path = `/api/admin/users/${part(params.userId)}`;
  const body = loading(() => api.get(path, { signal }), draw, { placeholder: () => skeleton("cards", 3) });

  function draw(user) {
    setTitle(user.email);
    const gone = user.status === "deleted";
    const suspended = user.status === "suspended";
    const again = () => body.reload();
    const plan = options(h("select", { "aria-label": t("admin.plan") }), PLANS.map((one) => [one, t(`plan.${one}`)]), user.plan);
    const setPlan = actButton(t("admin.setPlan"), async () => {
      if (plan.value === user.plan && !await confirmDialog({ title: t("admin.setPlanTitle"), text: t("admin.setPlanText"), action: t("admin.setPlan") })) return;
      await api.put(`${path}/plan`, { plan: plan.value });
      toast(t("state.saved"));
      await again();
    });
    const toggle = h("button", { type: "button", class: suspended ? "" : "danger", onclick: async () => {
      if (await confirmDialog({
        title: t(suspended ? "admin.activateTitle" : "admin.suspendTitle", { name: user.email }), text: t(suspended ? "admin.activateText" : "admin.suspendText"), action: t(suspended ? "admin.activate" : "admin.suspend"), danger: !suspended,
        work: () => api.put(`${path}/status`, { status: suspended ? "active" : "suspended" }),
      })) again();
    } }, t(suspended ? "admin.activate" : "admin.suspend"));
    const reset = h("button", { type: "button", onclick: async () => {
      let answer = null;
      if (!await confirmDialog({ title: t("admin.resetTitle", { name: user.email }), text: t("admin.resetText"), action: t("admin.reset"), work: async () => { answer = await api.post(`${path}/reset-password`); } })) return;
      if (!answer?.temporaryPassword) { toast(t("admin.resetMailed")); return; }
      const place = h("div");
      const dialog = openDialog({ title: t("admin.reset"), body: place });
      replace(place, passwordOnce(user.email, answer.temporaryPassword, dialog));
    } }, icon("key", 18), h("span", {}, t("admin.reset")));
    const remove = h("button", { type: "button", class: "danger", onclick: async () => {
      if (await confirmDialog({ title: t("admin.deleteTitle", { name: user.email }), text: t("admin.deleteText"), action: t("action.delete"), danger: true, type: user.email, work: () => api.remove(path) })) {
        toast(t("admin.deleted", { name: user.email }));
        go("/admin/users");
      }
    } }, icon("trash", 18), h("span", {}, t("admin.delete")));
    return h("div", { class: "stack" },
      h("div", { class: "headline" }, h("h1", {}, h("bdi", { class: "wrap" }, user.email)), h("span", { class: "tags" }, user.isAdmin && tag(t("admin.isAdmin"), "accent"), userTag(user))),
      h("div", { class: "columns" },
        h("div", { class: "stack" },
          h("section", { class: "card stack" }, h("h2", {}, t("admin.about")), h("dl", { class: "facts" },
            h("dt", {}, t("admin.displayName")), h("dd", {}, h("bdi", {}, shown(user.displayName))),
            h("dt", {}, t("admin.bots")), h("dd", {}, number(user.botCount)),
            h("dt", {}, t("admin.tokens")), h("dd", { class: "stack tight" }, t("admin.of", { used: number(user.usage.tokens), limit: number(user.quota.maxMonthlyTokens) }), meter(user.usage.tokens, user.quota.maxMonthlyTokens, t("admin.tokens"))),
            h("dt", {}, t("admin.runs")), h("dd", {}, number(user.usage.invocations)),
            h("dt", {}, t("admin.since")), h("dd", {}, date(user.createdAt)),
            h("dt", {}, t("admin.lastLogin")), h("dd", {}, user.lastLogin ? ago(user.lastLogin) : t("admin.never")),
            h("dt", {}, t("admin.id")), h("dd", { class: "mono" }, user.userId)),
          h("div", { class: "actions" }, link(`/admin/audit?userId=${part(user.userId)}`, { class: "button" }, icon("shield", 18), h("span", {}, t("nav.adminAudit"))), !gone && reset)),
          !gone && h("section", { class: "card stack" }, h("h2", {}, t("admin.access")), h("p", { class: "hint" }, t("admin.accessText")), h("div", { class: "actions" }, toggle, remove))),
        !gone && h("div", { class: "stack" },
          h("section", { class: "card stack" }, h("h2", {}, t("admin.plan")), h("p", { class: "hint" }, t("admin.planText")), h("div", { class: "row" }, h("div", { class: "grow" }, plan), setPlan)),
          h("section", { class: "card stack" }, h("h2", {}, t("admin.quota")), quotaForm({ quota: user.quota, label: t("action.save"), submit: async (quota) => {
            const changes = Object.fromEntries(Object.entries(quota).filter(([key, value]) => value !== user.quota[key]));
            if (Object.keys(changes).length === 0) { toast(t("state.nothingNew"), "info"); return; }
            await api.put(`${path}/quota`, changes);
            toast(t("state.saved"));
            await again();
          } })))));
  }
  return { title: t("nav.adminUsers"), view: h("div", { class: "stack" }, h("div", {}, link("/admin/users", { class: "button quiet small" }, icon("left", 16), t("nav.adminUsers"))), body) };
}

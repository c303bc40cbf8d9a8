// What each plan allows new users.
import { api } from "../core/api.js";
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { form } from "../components/form.js";
import { loading, skeleton } from "../components/states.js";
import { toast } from "../components/toast.js";
import { PLANS } from "./admin-users.js";
import { quotaFields } from "./quota-form.js";

export function page({ signal }) {
  const body = loading(() => api.get("/api/admin/plans", { signal }), (plans) => {
    const parts = PLANS.map((plan) => ({ plan, fields: quotaFields(plans[plan], `${plan}.`) }));
    return form({
      children: h("div", { class: "grid" }, parts.map(({ plan, fields }) => h("fieldset", { class: "card stack plain-set" }, h("legend", {}, t(`plan.${plan}`)), fields.boxes))), label: t("action.save"),
      submit: async () => {
        await api.put("/api/admin/plans", Object.fromEntries(parts.map(({ plan, fields }) => [plan, fields.value()])));
        toast(t("state.saved"));
      },
    });
  }, { placeholder: () => skeleton("cards", 3) });
  return { title: t("nav.adminPlans"), view: h("div", { class: "stack" }, h("h1", {}, t("nav.adminPlans")), h("p", { class: "lead" }, t("admin.plansText")), body) };
}

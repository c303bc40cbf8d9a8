// What every user used in a month.
import { api, part } from "../core/api.js";
import { h } from "../core/dom.js";
import { number, t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { pagedList } from "../components/list.js";
import { monthOf, monthPicker } from "../components/month.js";
import { empty } from "../components/states.js";

export function page({ signal }) {
  let month = monthOf(0);
  const list = pagedList({
    label: t("nav.adminUsage"), attributes: { class: "rows boxed" },
    load: (cursor, limit) => api.get(`/api/admin/usage?month=${month}&limit=${limit}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal }),
    row: (user) => h("div", {}, link(`/admin/users/${part(user.userId)}`, { class: "list-row" }, h("span", { class: "grow" }, h("bdi", { class: "clip1" }, user.email)),
      h("span", { class: "figures-row" }, h("b", {}, t("admin.usedTokens", { tokens: number(user.tokens) })), h("span", { class: "hint" }, t("admin.runCount", { count: user.invocations }))))),
    nothing: () => empty("gauge", t("admin.noUsage"), ""),
  });
  const picker = monthPicker((value) => { month = value; list.reload(); });
  return { title: t("nav.adminUsage"), view: h("div", { class: "stack" }, h("div", { class: "headline" }, h("h1", {}, t("nav.adminUsage")), h("div", { class: "filter" }, picker)), list) };
}

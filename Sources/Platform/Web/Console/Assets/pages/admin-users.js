// All users of the platform: found, filtered, made.
import { api, part } from "../core/api.js";
import { h, name as shown, randomId, replace } from "../core/dom.js";
import { compact, t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { copyable } from "../components/copy.js";
import { openDialog } from "../components/dialog.js";
import { check, field, form, options } from "../components/form.js";
import { icon } from "../components/icon.js";
import { pagedList } from "../components/list.js";
import { empty, tag } from "../components/states.js";

export const PLANS = ["free", "pro", "enterprise"];
/** Typing is not asked for at every letter: milliseconds. */
const PAUSE = 250;

export const userTag = (user) => tag(t(`admin.status.${user.status}`), { active: "good", suspended: "warn", deleted: "bad" }[user.status]);

/** A search of users with its list; `to(user)` is where a row leads. */
export function userSearch({ signal, to }) {
  const filters = { query: "", status: "", plan: "" };
  const list = pagedList({
    label: t("nav.adminUsers"), attributes: { class: "rows boxed" },
    load: (cursor, limit) => {
      const asked = Object.entries(filters).filter(([, value]) => value).map(([key, value]) => `&${key}=${part(value)}`).join("");
      return api.get(`/api/admin/users?limit=${limit}${asked}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal });
    },
    row: (user) => h("div", {}, link(to(user), { class: "list-row" }, h("span", { class: "group-icon" }, icon("user", 18)),
      h("span", { class: "grow" }, h("b", {}, h("bdi", { class: "clip1" }, user.email)), h("span", { class: "hint" }, h("bdi", {}, shown(user.displayName)), ` · ${t("admin.botCount", { count: user.botCount })} · ${t("admin.usedTokens", { tokens: compact(user.usage.tokens) })}`)),
      h("span", { class: "tags end" }, user.isAdmin && tag(t("admin.isAdmin"), "accent"), h("span", { class: "only-desk" }, tag(t(`plan.${user.plan}`))), userTag(user)))),
    nothing: () => empty("user", t("admin.noUsers"), t("admin.noUsersText")),
  });
  let wait = 0;
  const search = h("input", { type: "search", maxlength: 100, placeholder: t("admin.search"), "aria-label": t("admin.search"), autocomplete: "off", oninput: () => {
    clearTimeout(wait);
    wait = setTimeout(() => { filters.query = search.value.trim(); list.reload(); }, PAUSE);
  } });
  const filter = (key, label, pairs) => {
    const select = options(h("select", { "aria-label": label, onchange: () => { filters[key] = select.value; list.reload(); } }), [["", label], ...pairs]);
    return select;
  };
  const view = h("div", { class: "stack" }, h("div", { class: "filters" }, search, filter("status", t("admin.anyStatus"), ["active", "suspended", "deleted"].map((one) => [one, t(`admin.status.${one}`)])), filter("plan", t("admin.anyPlan"), PLANS.map((one) => [one, t(`plan.${one}`)]))), list);
  return { view, reload: () => list.reload() };
}

export function page({ signal }) {
  const users = userSearch({ signal, to: (user) => `/admin/users/${part(user.userId)}` });
  return {
    title: t("nav.adminUsers"),
    view: h("div", { class: "stack" }, h("div", { class: "headline" }, h("h1", {}, t("nav.adminUsers")), h("button", { type: "button", class: "main", onclick: () => create(users.reload) }, icon("plus", 18), h("span", {}, t("admin.newUser")))), users.view),
  };
}

function create(made) {
  const email = field(t("admin.email"), h("input", { type: "email", required: true, maxlength: 254, autocomplete: "off" }), { name: "email" });
  const title = field(t("admin.displayName"), h("input", { maxlength: 100, autocomplete: "off" }), { name: "displayName", optional: true });
  const plan = field(t("admin.plan"), options(h("select"), PLANS.map((one) => [one, t(`plan.${one}`)])), { name: "plan" });
  const admin = check(t("admin.makeAdmin"), { hint: t("admin.makeAdminHint"), name: "isAdmin" });
  const place = h("div", { class: "stack" });
  const key = randomId();
  const dialog = openDialog({ title: t("admin.newUser"), body: place });
  replace(place, form({ children: [email, title, plan, admin], label: t("admin.create"), submit: async () => {
    const user = await api.post("/api/admin/users", { email: email.input.value.trim(), plan: plan.input.value, isAdmin: admin.input.checked, ...(title.input.value.trim() ? { displayName: title.input.value.trim() } : {}) }, { headers: { "Idempotency-Key": key } });
    made();
    if (user.temporaryPassword) replace(place, passwordOnce(user.email, user.temporaryPassword, dialog)); else dialog.close();
  } }));
  email.input.focus();
}

/** A password that is shown this once. */
export function passwordOnce(email, password, dialog) {
  const heading = h("h3", { tabindex: "-1" }, t("admin.passwordFor", { name: email }));
  queueMicrotask(() => heading.focus());
  return h("div", { class: "stack secret" }, heading, h("p", {}, t("admin.passwordText")), copyable(password, t("admin.password")), h("div", { class: "actions end" }, h("button", { type: "button", class: "main", onclick: () => dialog.close() }, t("admin.passwordKept"))));
}

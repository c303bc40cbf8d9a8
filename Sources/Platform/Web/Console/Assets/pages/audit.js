// Who did what to a user or to the platform. The address names whose trail: `/admin/audit?userId=…`.
import { api, part } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { icon } from "../components/icon.js";
import { pagedList } from "../components/list.js";
import { empty } from "../components/states.js";
import { at } from "../components/time.js";
import { userSearch } from "./admin-users.js";

const PLATFORM = "platform";
const PAUSE = 250;

export function page({ query, signal }) {
  const place = h("div");
  const here = (id) => `/admin/audit?userId=${part(id)}`;

  function show(owner) {
    replace(place, owner ? trail(owner) : h("div", { class: "stack" }, link(here(PLATFORM), { class: "card choice" }, icon("shield", 24), h("h2", {}, t("audit.platformTitle")), h("p", {}, t("audit.platformText"))),
      h("h2", {}, t("audit.choose")), userSearch({ signal, to: (user) => here(user.userId) }).view));
  }

  function trail(owner) {
    let action = "";
    const names = new Map();
    // Actors are ids; those that are users here get their address.
    const nameOf = (id) => {
      if (!names.has(id)) names.set(id, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id) ? api.get(`/api/admin/users/${part(id)}`, { signal }).then((user) => user.email, () => id) : Promise.resolve(id));
      return names.get(id);
    };
    const who = (id) => {
      const element = h("bdi", {}, id);
      nameOf(id).then((text) => { element.textContent = text; });
      return element;
    };
    const list = pagedList({
      label: t("nav.adminAudit"), attributes: { class: "rows boxed" },
      load: (cursor, limit) => api.get(`/api/admin/audit?userId=${part(owner)}&limit=${limit}${action ? `&action=${part(action)}` : ""}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal }),
      row: (entry) => h("div", { class: "list-row" }, h("span", { class: "grow" }, h("code", { class: "wrap" }, entry.action), h("span", { class: "hint wrap" }, t("audit.by"), " ", who(entry.actorId), entry.target && [" · ", h("bdi", { class: "mono" }, entry.target)])),
        h("span", { class: "hint" }, at(entry.timestamp))),
      nothing: () => empty("shield", t("audit.none"), t("audit.noneText")),
    });
    let wait = 0;
    const filter = h("input", { type: "search", maxlength: 64, placeholder: t("audit.action"), "aria-label": t("audit.action"), autocomplete: "off", autocapitalize: "off", spellcheck: "false", oninput: () => {
      clearTimeout(wait);
      wait = setTimeout(() => { action = filter.value.trim().toLowerCase(); list.reload(); }, PAUSE);
    } });
    return h("div", { class: "stack" }, h("div", {}, link("/admin/audit", { class: "button quiet small" }, icon("left", 16), t("audit.others"))),
      h("div", { class: "row spread" }, h("h2", {}, t("audit.of"), " ", owner === PLATFORM ? t("audit.platform") : who(owner)), h("div", { class: "chooser" }, filter)), list);
  }
  show(query.get("userId"));

  return {
    title: t("nav.adminAudit"), view: h("div", { class: "stack" }, h("h1", {}, t("nav.adminAudit")), place),
    change(next) {
      show(next.query.get("userId"));
      return true;
    },
  };
}

// What the bot was not allowed to do, and what failed, in the last 30 days.
import { api, part } from "../core/api.js";
import { h } from "../core/dom.js";
import { has, t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { options } from "../components/form.js";
import { pagedList } from "../components/list.js";
import { empty, tag } from "../components/states.js";
import { ago } from "../components/time.js";
import { failureText } from "./failures.js";

export function activity({ bot, path, signal }) {
  const base = `/bots/${part(bot.botId)}`;
  let kind = "";
  const load = (rest) => (cursor, limit) => api.get(`${path}/${rest}?limit=${limit}${kind && rest === "denials" ? `&kind=${kind}` : ""}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal });
  const conversation = (item) => `${base}/conversations/${part(item.groupJid)}`;
  const denials = pagedList({
    label: t("settings.denials"), attributes: { class: "rows boxed" }, load: load("denials"),
    row: (item) => h("div", {}, link(conversation(item), { class: "list-row" }, tag(has(`settings.denial.${item.kind}`) ? t(`settings.denial.${item.kind}`) : item.kind),
      h("span", { class: "grow" }, h("bdi", { class: "mono wrap" }, item.target), item.origin && has(`settings.origin.${item.origin}`) && h("span", { class: "hint" }, ` ${t(`settings.origin.${item.origin}`)}`)), h("span", { class: "hint" }, ago(item.timestamp)))),
    nothing: () => empty("check", t("settings.noDenials"), t("settings.noDenialsText")),
  });
  const failures = pagedList({
    label: t("failures.title"), attributes: { class: "rows boxed" }, load: load("failures"),
    row: (item) => h("div", {}, link(item.messageId ? `${conversation(item)}/${part(item.messageId)}` : item.taskId ? `${base}/tasks` : conversation(item), { class: "list-row" }, h("span", { class: "grow" }, failureText(item.code)), h("span", { class: "hint" }, ago(item.timestamp)))),
    nothing: () => empty("check", t("failures.none"), ""),
  });
  const filter = options(h("select", { "aria-label": t("settings.kind"), onchange: () => { kind = filter.value; denials.reload(); } }), [["", t("settings.kind.all")], ...["egress", "tool", "skill"].map((one) => [one, t(`settings.denial.${one}`)])]);
  return h("div", { class: "stack loose" },
    h("section", { class: "stack" }, h("div", { class: "row spread" }, h("h2", {}, t("settings.denials")), h("div", { class: "filter" }, filter)), denials),
    h("section", { class: "stack" }, h("h2", {}, t("failures.title")), failures));
}

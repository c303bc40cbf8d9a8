// Messages that could not be handled: sent again or forgotten.
import { api, part } from "../core/api.js";
import { h } from "../core/dom.js";
import { has, t } from "../core/i18n.js";
import { actButton } from "../components/act.js";
import { confirmDialog } from "../components/dialog.js";
import { options } from "../components/form.js";
import { pagedList } from "../components/list.js";
import { empty, tag } from "../components/states.js";
import { ago } from "../components/time.js";
import { toast } from "../components/toast.js";

export function page({ signal }) {
  let queue = "";
  const list = pagedList({
    label: t("nav.adminLetters"), attributes: { class: "rows cards" },
    load: (cursor, limit) => api.get(`/api/admin/dead-letters?limit=${limit}${queue ? `&queue=${queue}` : ""}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal }),
    row, nothing: () => empty("check", t("letters.none"), t("letters.noneText")),
  });
  const filter = options(h("select", { "aria-label": t("letters.queue"), onchange: () => { queue = filter.value; list.reload(); } }), [["", t("letters.all")], ...["inbound", "replies"].map((one) => [one, t(`letters.queue.${one}`)])]);

  function row(letter) {
    const path = `/api/admin/dead-letters/${part(letter.id)}`;
    // Gone meanwhile, by another administrator or the queue itself: it leaves the list all the same.
    const gone = (error) => { if (error.status !== 404) throw error; };
    const leave = () => list.update((one) => one.id === letter.id, () => null);
    const redrive = actButton(t("letters.redrive"), async () => {
      await api.post(`${path}/redrive`).catch(gone);
      leave();
      toast(t("letters.redriven"));
    }, { glyph: "refresh" });
    const remove = h("button", { type: "button", class: "danger", onclick: async () => {
      if (await confirmDialog({ title: t("letters.deleteTitle"), text: t("letters.deleteText"), action: t("action.delete"), danger: true, work: () => api.remove(path).catch(gone) })) leave();
    } }, t("action.delete"));
    const queueName = has(`letters.queue.${letter.queue}`) ? t(`letters.queue.${letter.queue}`) : letter.queue;
    return h("article", { class: "card stack", role: "listitem", "aria-label": `${queueName}: ${letter.reason}` },
      h("div", { class: "head" }, h("h2", {}, has(`letters.kind.${letter.kind}`) ? t(`letters.kind.${letter.kind}`) : letter.kind), tag(queueName, "warn")),
      h("p", { class: "wrap" }, letter.reason),
      h("dl", { class: "facts" }, h("dt", {}, t("letters.dead")), h("dd", {}, ago(letter.deadAt)), h("dt", {}, t("letters.first")), h("dd", {}, ago(letter.firstSeenAt)), h("dt", {}, t("letters.tries")), h("dd", {}, letter.receiveCount),
        letter.userId && [h("dt", {}, t("letters.user")), h("dd", { class: "mono" }, letter.userId)], letter.botId && [h("dt", {}, t("letters.bot")), h("dd", { class: "mono" }, letter.botId)], letter.groupJid && [h("dt", {}, t("letters.conversation")), h("dd", { class: "mono" }, h("bdi", {}, letter.groupJid))]),
      h("div", { class: "actions" }, redrive, remove));
  }
  return { title: t("nav.adminLetters"), view: h("div", { class: "stack" }, h("div", { class: "headline" }, h("h1", {}, t("nav.adminLetters")), h("div", { class: "filter" }, filter)), h("p", { class: "lead" }, t("letters.about")), list) };
}

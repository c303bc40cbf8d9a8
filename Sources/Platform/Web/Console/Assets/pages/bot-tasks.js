// The tasks of a bot: what it does by itself, and when.
import { api, part } from "../core/api.js";
import { h, name } from "../core/dom.js";
import { date, t, when } from "../core/i18n.js";
import { link } from "../core/router.js";
import { actButton } from "../components/act.js";
import { confirmDialog } from "../components/dialog.js";
import { options } from "../components/form.js";
import { icon } from "../components/icon.js";
import { pagedList } from "../components/list.js";
import { empty, skeleton, tag } from "../components/states.js";
import { ago } from "../components/time.js";
import { toast } from "../components/toast.js";
import { ownZone } from "../components/zone.js";
import { scheduleText } from "./schedule.js";
import { taskDialog } from "./task-form.js";

const TONES = { active: "good", paused: "warn" };
const RESULTS = { success: "good", error: "bad", skipped: "warn" };

export function tab({ bot, signal }) {
  const base = `/api/bots/${part(bot.botId)}/tasks`;
  let status = "";
  const list = pagedList({
    label: t("bot.tab.tasks"), attributes: { class: "rows cards" }, placeholder: () => skeleton("cards", 3),
    load: (cursor, limit) => api.get(`${base}?limit=${limit}${status ? `&status=${status}` : ""}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal }),
    row: card,
    nothing: () => (status ? empty("clock", t("tasks.noneSo"), "") : empty("clock", t("tasks.none"), t("tasks.noneText"), h("button", { type: "button", class: "main", onclick: create }, icon("plus", 18), h("span", {}, t("tasks.new"))))),
  });
  const filter = options(h("select", { "aria-label": t("tasks.filter"), onchange: () => { status = filter.value; list.reload(); } }), [["", t("tasks.all")], ...["active", "paused", "completed"].map((one) => [one, t(`tasks.status.${one}`)])]);

  function create() {
    taskDialog({ bot, signal, done: (task) => {
      toast(task.nextRun ? t("tasks.createdNext", { time: moment(task.nextRun) }) : t("state.saved"));
      return list.reload();
    } });
  }
  function edit(task) {
    taskDialog({ bot, task, signal, done: (next) => {
      toast(next === task ? t("state.nothingNew") : next.nextRun ? t("tasks.savedNext", { time: moment(next.nextRun) }) : t("state.saved"), next === task ? "info" : "good");
      list.update((one) => one.taskId === task.taskId, () => next);
    } });
  }

  function card(task) {
    const path = `${base}/${part(task.taskId)}`;
    const words = scheduleText(task);
    const change = (next) => list.update((one) => one.taskId === task.taskId, () => next);
    const toggle = task.status !== "completed" && actButton(t(task.status === "active" ? "tasks.pause" : "tasks.resume"), async () => change(await api.put(path, { status: task.status === "active" ? "paused" : "active" })));
    const remove = h("button", { type: "button", class: "danger", onclick: async () => {
      const done = await confirmDialog({
        title: t("tasks.deleteTitle"), text: `${words}: ${name(task.prompt).slice(0, 200)}`, action: t("action.delete"), danger: true,
        work: () => api.remove(path).catch((error) => { if (error.status !== 404) throw error; }),
      });
      if (done) { change(null); toast(t("tasks.deleted")); }
    } }, h("span", {}, t("action.delete")));
    return h("article", { class: "card stack task", "aria-label": words, role: "listitem" },
      h("div", { class: "head" }, h("h2", {}, words), tag(t(`tasks.status.${task.status}`), TONES[task.status])),
      h("p", { class: "plain clip4", dir: "auto" }, task.prompt),
      h("ul", { class: "lines" },
        task.nextRun && task.status === "active" && h("li", {}, icon("clock", 16), h("span", {}, t("tasks.next", { time: moment(task.nextRun) }), elsewhere(task))),
        task.scheduleType !== "interval" && !elsewhere(task) && h("li", {}, icon("globe", 16), h("span", {}, task.timezone)),
        h("li", {}, icon("chat", 16), link(`/bots/${part(bot.botId)}/conversations/${part(task.groupJid)}`, { class: "plain-link" }, h("bdi", {}, task.groupJid.replace(/^[a-z]+[:#]/, ""))), h("span", { class: "hint" }, ` · ${t(`tasks.mode.${task.contextMode}`)}`)),
        task.lastRun && h("li", {}, icon("check", 16), h("span", {}, t("tasks.last"), " ", ago(task.lastRun)), task.lastStatus && tag(t(`tasks.result.${task.lastStatus}`), RESULTS[task.lastStatus]))),
      task.lastResult && h("blockquote", { class: "result plain clip4", dir: "auto" }, task.lastResult),
      h("div", { class: "actions" }, task.status !== "completed" && h("button", { type: "button", onclick: () => edit(task) }, icon("edit", 18), h("span", {}, t("action.edit"))), toggle, remove));
  }

  // The same moment as it is called where the task lives.
  function elsewhere(task) {
    if (!task.nextRun || task.status !== "active" || task.scheduleType === "interval" || task.timezone === ownZone()) return null;
    return h("span", { class: "hint" }, ` · ${t("tasks.there", { time: when(task.nextRun, { zone: task.timezone }), zone: task.timezone })}`);
  }

  return { view: h("div", { class: "stack" }, h("div", { class: "row spread" }, h("div", { class: "filter" }, filter), h("button", { type: "button", class: "main", onclick: create }, icon("plus", 18), h("span", {}, t("tasks.new")))), list) };
}

// With its day: "when" leaves today's out, and a run is rarely today's.
const moment = (value) => date(value, { weekday: "short", day: "numeric", month: "short", year: new Date(value).getFullYear() === new Date().getFullYear() ? undefined : "numeric", hour: "2-digit", minute: "2-digit" });

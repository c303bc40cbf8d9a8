// Making and changing a task: what to do, where, and when, in words that need no cron.
import { all, api, part } from "../core/api.js";
import { h, name as shown, randomId, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { openDialog } from "../components/dialog.js";
import { field, form, options } from "../components/form.js";
import { empty, loading, skeleton } from "../components/states.js";
import { zoneField } from "../components/zone.js";
import { channelName, groupName } from "./channel.js";
import { compose, dayName, parse, scheduleText } from "./schedule.js";

const KINDS = ["once", "every", "daily", "weekly", "monthly", "cron"];
/** Weeks begin on Monday here as in most of the world. */
const WEEK = [1, 2, 3, 4, 5, 6, 0];

/** Opens the form; `task` is the one to change, absent for a new one. `done(task, isNew)` is told the server's answer. */
export function taskDialog({ bot, task, signal, done }) {
  const base = `/api/bots/${part(bot.botId)}`;
  const dialog = openDialog({
    title: t(task ? "tasks.editTitle" : "tasks.newTitle"), kind: "wide",
    body: task ? body([]) : loading(() => all(`${base}/groups`, { signal }), (groups) => (groups.length ? body(groups)
      : empty("chat", t("tasks.noConversation"), t("tasks.noConversationText"), link(`/bots/${part(bot.botId)}/chat`, { class: "button main" }, t("tasks.toChat")))), { placeholder: () => skeleton("lines", 5) }),
  });

  function body(groups) {
    const prompt = field(t("tasks.prompt"), h("textarea", { rows: 4, required: true, maxlength: 5000, value: task?.prompt ?? "", placeholder: t("tasks.promptExample") }), { hint: t("tasks.promptHint"), name: "prompt" });
    const group = task ? null : field(t("tasks.conversation"), options(h("select"), groups.map((one) => [one.groupJid, `${channelName(one.channelType)}: ${shown(groupName(one))}`])), { hint: t("tasks.conversationHint"), name: "groupJid" });
    const mode = field(t("tasks.context"), options(h("select"), [["isolated", t("tasks.context.isolated")], ["group", t("tasks.context.group")]], task?.contextMode ?? "isolated"), { name: "contextMode" });
    const zone = zoneField(t("tasks.zone"), task?.timezone ?? bot.timezone);
    const when = builder(task ? parse(task.scheduleType, task.scheduleValue) : { kind: "daily", time: "09:00" }, zone);
    const key = randomId();
    const element = form({
      children: [prompt, group, when.view, zone, mode], label: t(task ? "action.save" : "tasks.create"), actions: [h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("action.cancel"))],
      submit: async () => {
        if (!when.agree()) return;
        const values = { prompt: prompt.input.value, ...compose(when.plan()), contextMode: mode.input.value, timezone: zone.input.value.trim() };
        if (!task) {
          const made = await api.post(`${base}/tasks`, { ...values, groupJid: group.input.value }, { headers: { "Idempotency-Key": key } });
          dialog.close();
          return done(made, true);
        }
        const changes = Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== task[name]));
        // A schedule is its type and its value together.
        if (changes.scheduleType || changes.scheduleValue) Object.assign(changes, { scheduleType: values.scheduleType, scheduleValue: values.scheduleValue });
        const next = Object.keys(changes).length ? await api.put(`${base}/tasks/${part(task.taskId)}`, changes) : task;
        dialog.close();
        return done(next, false);
      },
    });
    queueMicrotask(() => prompt.input.focus());
    return element;
  }
}

// The part that says when.
function builder(start, zone) {
  const state = { once: { kind: "once", at: tomorrow() }, every: { kind: "every", count: 1, unit: "hours" }, daily: { kind: "daily", time: "09:00" }, weekly: { kind: "weekly", days: [1], time: "09:00" }, monthly: { kind: "monthly", day: 1, time: "09:00" }, cron: { kind: "cron", value: "0 9 * * *" } };
  state[start.kind] = start;
  let kind = start.kind;
  const place = h("div", { class: "when-fields" });
  const words = h("p", { class: "when-words", role: "status" });
  const choice = h("fieldset", { class: "pills" }, h("legend", {}, t("tasks.when")), KINDS.map((one) => h("label", {}, h("input", { type: "radio", name: "when", value: one, checked: one === kind, onchange: () => { kind = one; draw(); } }), h("span", {}, t(`tasks.kind.${one}`)))));
  const say = () => {
    try { words.textContent = scheduleText(compose(state[kind])); } catch { words.textContent = ""; }
  };
  const input = (label, element, set, more = {}) => {
    const box = field(label, element, { name: "scheduleValue", ...more });
    element.addEventListener("input", () => { set(element.value); say(); });
    return box;
  };
  const time = () => input(t("tasks.at"), h("input", { type: "time", required: true, value: state[kind].time }), (value) => { state[kind].time = value; });
  const makers = {
    once: () => [input(t("tasks.onceAt"), h("input", { type: "datetime-local", required: true, value: state.once.at.slice(0, 16) }), (value) => { state.once.at = value; })],
    every: () => [
      input(t("tasks.every"), h("input", { type: "number", required: true, min: 1, max: 525600, step: 1, inputmode: "numeric", value: state.every.count }), (value) => { state.every.count = Number(value); }),
      input(t("tasks.unit"), options(h("select"), ["minutes", "hours", "days"].map((unit) => [unit, t(`tasks.unit.${unit}`)]), state.every.unit), (value) => { state.every.unit = value; }, { name: undefined }),
    ],
    daily: () => [time()],
    weekly: () => [h("fieldset", { class: "pills days" }, h("legend", {}, t("tasks.days")), WEEK.map((day) => h("label", {}, h("input", { type: "checkbox", checked: state.weekly.days.includes(day), onchange: (event) => {
      const days = new Set(state.weekly.days);
      if (event.target.checked) days.add(day); else days.delete(day);
      state.weekly.days = [...days].sort((a, b) => a - b);
      say();
    } }), h("span", {}, dayName(day))))), time()],
    monthly: () => [
      input(t("tasks.day"), options(h("select"), [...Array.from({ length: 31 }, (_, index) => [String(index + 1), String(index + 1)]), ["L", t("tasks.lastDay")]], String(state.monthly.day)), (value) => { state.monthly.day = value === "L" ? "L" : Number(value); }, { hint: t("tasks.dayHint") }),
      time(),
    ],
    cron: () => [input(t("tasks.cron"), h("input", { required: true, maxlength: 200, class: "mono", autocomplete: "off", spellcheck: "false", value: state.cron.value }), (value) => { state.cron.value = value; }, { hint: t("tasks.cronHint") })],
  };
  function draw() {
    zone.hidden = kind === "every";
    replace(place, makers[kind]());
    say();
  }
  draw();
  const problem = h("p", { class: "error", role: "alert", hidden: true });
  return {
    view: h("div", { class: "stack when" }, choice, place, problem, words),
    plan: () => state[kind],
    agree() {
      problem.hidden = !(kind === "weekly" && state.weekly.days.length === 0);
      problem.textContent = problem.hidden ? "" : t("tasks.noDay");
      return problem.hidden;
    },
  };
}

// Tomorrow at nine, as the field writes it: the zone of the task decides what that means.
function tomorrow() {
  const date = new Date(Date.now() + 86_400_000);
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}T09:00`;
}

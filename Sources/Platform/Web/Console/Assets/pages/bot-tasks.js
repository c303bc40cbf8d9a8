// The tasks of a bot.
import { api, part } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { when } from "../core/i18n.js";
import { act } from "../components/act.js";
import { empty } from "../components/states.js";

const DAYS = { "*": "Every day", "1-5": "Every weekday", "0": "Every Sunday", "1": "Every Monday", "2": "Every Tuesday", "3": "Every Wednesday", "4": "Every Thursday", "5": "Every Friday", "6": "Every Saturday" };
// The everyday schedules in words; any other as it is written.
function cron(value) {
  const [minute, hour, day, month, weekday] = value.split(/\s+/);
  const plain = /^\d{1,2}$/.test(minute) && /^\d{1,2}$/.test(hour) && day === "*" && month === "*" && DAYS[weekday];
  return plain ? `${DAYS[weekday]} at ${hour.padStart(2, "0")}:${minute.padStart(2, "0")}` : `Cron ${value}`;
}

/** The tab of a bot's page. */
export function tab({ bot }) {
  const base = `/api/bots/${part(bot.botId)}/tasks`;
  const box = h("div", { class: "stack" });
  const describe = (task) => {
    if (task.scheduleType === "once") return `Once, ${task.scheduleValue.replace("T", " ")} (${task.timezone})`;
    if (task.scheduleType === "cron") return `${cron(task.scheduleValue)} (${task.timezone})`;
    const minutes = Number(task.scheduleValue) / 60000;
    return `Every ${minutes % 1440 === 0 ? `${minutes / 1440} d` : minutes % 60 === 0 ? `${minutes / 60} h` : `${minutes} min`}`;
  };
  const show = async () => {
    try {
      const { items } = await api.get(`${base}?limit=200`);
      replace(box, items.length ? items.map(row) : empty("clock", "No tasks yet", "Ask the bot in the chat, for example: Remind me every day at 9:00 to water the plants."));
    } catch (error) { replace(box, h("p", { class: "error" }, error.message)); }
  };
  const row = (task) => {
    const toggle = h("button", { type: "button", onclick: () => act(toggle, async () => {
      await api.put(`${base}/${part(task.taskId)}`, { status: task.status === "active" ? "paused" : "active" });
      await show();
    }) }, task.status === "active" ? "Pause" : "Resume");
    const remove = h("button", { type: "button", class: "danger", onclick: () => {
      if (confirm("Delete this task?")) act(remove, async () => { await api.remove(`${base}/${part(task.taskId)}`); await show(); });
    } }, "Delete");
    return h("article", { class: "card" }, h("h3", {}, describe(task), h("span", { class: `tag ${task.status}` }, task.status)), h("p", { class: "plain" }, task.prompt),
      h("p", { class: "hint" }, task.nextRun && `Next ${when(task.nextRun)}. `, task.lastRun && `Last ${when(task.lastRun)}: ${task.lastStatus ?? "running"}. `, task.lastResult),
      h("div", { class: "actions" }, task.status !== "completed" && toggle, remove));
  };
  show();
  return { view: box };
}

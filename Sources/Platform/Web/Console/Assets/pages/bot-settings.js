// What a bot is.
import { api, part } from "../core/api.js";
import { h } from "../core/dom.js";
import { act } from "../components/act.js";
import { field } from "../components/form.js";
import { toast } from "../components/toast.js";

export function tab({ bot, go, reload }) {
  const path = `/api/bots/${part(bot.botId)}`;
  const name = field("Name", h("input", { value: bot.name, required: true, maxlength: 100 }));
  const about = field("Description", h("input", { value: bot.description ?? "", maxlength: 500 }));
  const prompt = field("Instructions", h("textarea", { rows: 8, maxlength: 10000, value: bot.systemPrompt ?? "" }));
  const trigger = field("Trigger", h("input", { value: bot.triggerPattern, maxlength: 100 }), { hint: "The word that calls the bot in group chats." });
  const zone = field("Time zone", h("input", { value: bot.timezone, maxlength: 64 }), { hint: "For example Europe/Berlin." });
  const fields = { name, description: about, systemPrompt: prompt, triggerPattern: trigger, timezone: zone };
  const save = h("button", { class: "main", type: "submit" }, "Save");
  const pause = h("button", { type: "button", onclick: () => act(pause, async () => {
    await api.put(path, { status: bot.status === "paused" ? "active" : "paused" });
    reload();
  }) }, bot.status === "paused" ? "Set active" : "Pause");
  const remove = h("button", { type: "button", class: "danger", onclick: () => {
    if (reallyDelete(bot.name)) act(remove, async () => { await api.remove(path); toast("The bot is deleted."); go("/"); });
  } }, "Delete bot");
  const form = h("form", { class: "card stack" }, Object.values(fields), h("div", { class: "actions" }, save, bot.status !== "created" && pause, remove));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    for (const box of Object.values(fields)) box.fail();
    act(save, async () => {
      const changes = {};
      for (const [key, box] of Object.entries(fields)) {
        const value = box.input.value;
        if (value !== (bot[key] ?? "")) changes[key] = value.trim() === "" && key !== "name" ? null : value;
      }
      if (!Object.keys(changes).length) return toast("Nothing was changed.");
      try { bot = await api.put(path, changes); toast("Saved."); } catch (error) {
        if (error.status !== 400) throw error;
        for (const { field: place, message } of error.errors) (fields[place] ?? name).fail(message);
      }
    });
  });
  return { view: form };
}

const reallyDelete = (name) => confirm(`Delete ${name} with its channels and tasks? Its data is purged after 30 days.`);

// The memories of a bot.
import { api, part } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { field } from "../components/form.js";
import { memory } from "./memory-editor.js";

const CHANNELS = { telegram: "Telegram", web: "Web chat" };
// The bot's memory, and one per conversation: what it is told in a chat it keeps there.
export function tab({ bot }) {
  const base = `/api/bots/${part(bot.botId)}`;
  const place = h("div");
  const everywhere = memory(`${base}/memory`, `What ${bot.name} knows in every conversation.`);
  const choice = field("Memory of", h("select", {}, h("option", { value: "" }, "All conversations")));
  choice.input.addEventListener("change", () => {
    const group = choice.input.value;
    const name = choice.input.selectedOptions[0].textContent;
    replace(place, group ? memory(`${base}/groups/${part(group)}/memory`, `What ${bot.name} knows in the conversation ${name} only.`) : everywhere);
  });
  const load = async () => {
    for (let cursor = null; ;) {
      const page = await api.get(`${base}/groups?limit=200${cursor ? `&cursor=${part(cursor)}` : ""}`);
      for (const group of page.items) choice.input.append(h("option", { value: group.groupJid }, `${CHANNELS[group.channelType] ?? group.channelType}: ${group.name || group.groupJid.replace(/^[a-z]+[:#]/, "")}`));
      cursor = page.nextCursor;
      if (!cursor) return;
    }
  };
  load().catch((error) => choice.fail(error.message));
  replace(place, everywhere);
  return { view: h("div", { class: "stack" }, choice, place) };
}

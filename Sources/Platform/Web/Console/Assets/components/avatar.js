// A bot's mark: its first letter on one of six colours, always the same for the same id.
import { h, name } from "../core/dom.js";

export function avatar(bot, size = "") {
  let sum = 0;
  for (const char of bot.botId) sum = (sum * 31 + char.charCodeAt(0)) % 997;
  return h("span", { class: `avatar hue${sum % 6} ${size}`, "aria-hidden": "true" }, [...name(bot.name).trim()][0]?.toUpperCase() ?? "?");
}

// One message as the chat and the history show it: text, attachments, delivery state.
import { download, fileBlob } from "../core/api.js";
import { h, name } from "../core/dom.js";
import { bytes, t, when } from "../core/i18n.js";
import { act } from "./act.js";
import { avatar } from "./avatar.js";
import { icon } from "./icon.js";
import { markdown } from "./markdown.js";
import { failureText } from "../pages/failures.js";

/** Kinds the server serves inline too (SEC-97); anything else is only offered as a download. */
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"]);
const LARGEST_PICTURE = 8 * 1048576;

/** The sentence of a message's state; empty where it needs none. */
export function stateText(message) {
  if (message.state === "failed" && message.failure) return t("message.failedBecause", { reason: failureText(message.failure) });
  return ["sent", "context"].includes(message.state) ? "" : t(`message.state.${message.state}`);
}

/** A message's row. `mine`: stands on the right; `more`: elements for its last line; `old`: may be skipped in painting. */
export function messageRow(message, bot, { signal, more = [], old = false, sender = null } = {}) {
  const mine = !message.isBotMessage;
  const body = h("div", { class: "body" });
  if (message.content) body.append(mine ? h("p", { class: "plain", dir: "auto" }, message.content) : markdown(message.content));
  for (const file of message.attachments ?? []) body.append(attachment(file, bot.botId, signal));
  if (message.uploads) body.append(message.uploads);
  const label = stateText(message);
  return h("li", { class: ["message", mine ? "mine" : "bot", message.state, old && "old"], "data-id": message.messageId },
    !mine && avatar(bot), h("span", { class: mine && !sender ? "who unseen" : "who" }, h("bdi", {}, sender ?? (mine ? t("message.you") : bot.name))), body,
    h("p", { class: "meta" }, h("time", { datetime: message.timestamp, title: when(message.timestamp, { full: true }) }, when(message.timestamp)), label && h("span", { class: "delivery" }, label),
      message.editedAt && h("span", {}, t("message.edited")), more));
}

/** A file of a message: a button that downloads it, with the picture above where it is one. */
export function attachment(file, botId, signal) {
  const kind = (file.fileName.match(/\.([A-Za-z0-9]{1,4})$/)?.[1] ?? t("message.file")).toLowerCase();
  const button = h("button", { type: "button", class: "file", title: t("message.download"), onclick: () => act(button, () => download(botId, file.key, file.fileName)) },
    h("span", { class: "kind", "aria-hidden": "true" }, kind), h("span", {}, h("b", {}, h("bdi", {}, name(file.fileName))), h("small", {}, `${bytes(file.size)} · ${t("message.download")}`)));
  const box = h("div", { class: "attached" }, button);
  if (PICTURES.has(file.mimeType) && file.size < LARGEST_PICTURE) {
    fileBlob(botId, file.key, { signal }).then((blob) => {
      const url = URL.createObjectURL(new Blob([blob], { type: file.mimeType }));
      signal?.addEventListener("abort", () => URL.revokeObjectURL(url));
      box.prepend(h("img", { src: url, alt: name(file.fileName) }));
    }).catch(() => null);
  }
  return box;
}

/** A chosen file before it is sent. */
export function chosenFile(file, remove) {
  return h("li", {}, icon("file", 16), h("bdi", { class: "clip1" }, name(file.name)), h("span", { class: "hint" }, bytes(file.size)),
    h("button", { type: "button", class: "icon-button", "aria-label": t("message.remove", { name: name(file.name) }), onclick: remove }, icon("close", 16)));
}

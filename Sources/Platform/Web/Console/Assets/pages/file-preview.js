// One file: what is in it, without letting it do anything (SEC-97, SEC-98), and how to take it along.
import { api, download, fileBlob, part } from "../core/api.js";
import { h, name as shown, replace } from "../core/dom.js";
import { bytes, t } from "../core/i18n.js";
import { actButton } from "../components/act.js";
import { openDialog } from "../components/dialog.js";
import { icon } from "../components/icon.js";
import { inertPage } from "../components/inert.js";
import { markdown } from "../components/markdown.js";
import { empty, loading, skeleton } from "../components/states.js";
import { at } from "../components/time.js";

/** What an <img> shows and the server calls a picture; SVG is text here. */
const PICTURES = new Map([["png", "image/png"], ["jpg", "image/jpeg"], ["jpeg", "image/jpeg"], ["gif", "image/gif"], ["webp", "image/webp"], ["bmp", "image/bmp"]]);
const LARGEST_PICTURE = 20 * 1048576;

/** Hands a file to the browser's downloads: by a signed address where there is one, so that large files need no memory. */
export async function save(bot, entry) {
  let signed = null;
  try {
    signed = await api.get(`/api/bots/${part(bot.botId)}/files/download-url?key=${part(entry.key)}&disposition=attachment`);
  } catch (error) {
    // A server that signs nothing; a file that is gone is said by the other way.
    if (error.status !== 404) throw error;
  }
  if (!signed) return download(bot.botId, entry.key, shown(entry.name));
  const link = h("a", { href: signed.url, download: shown(entry.name), rel: "noopener noreferrer" });
  document.body.append(link);
  link.click();
  link.remove();
  return undefined;
}

/** `entry` as the list has it; `remove()` asks and deletes, and answers whether it did. */
export function previewDialog({ bot, entry, signal, remove }) {
  const stop = new AbortController();
  signal.addEventListener("abort", () => stop.abort());
  const body = loading(() => api.get(`/api/bots/${part(bot.botId)}/files/content?key=${part(entry.key)}`, { signal: stop.signal }).catch((error) => {
    // No preview on this server, or none of this file: what it is called still tells whether it is a picture.
    if (error.status === 404) return { previewKind: PICTURES.has(ending(entry.name)) ? "image" : "binary", size: entry.size };
    throw error;
  }), (file) => draw(bot, entry, file, stop.signal), { placeholder: () => skeleton("lines", 6) });
  const dialog = openDialog({
    title: h("bdi", {}, shown(entry.name)), kind: "wide preview-dialog",
    body: [h("p", { class: "hint" }, bytes(entry.size ?? 0), " · ", at(entry.lastModified, { full: true })), body],
    actions: [
      h("button", { type: "button", class: "danger", onclick: async () => { if (await remove()) dialog.close(); } }, icon("trash", 18), h("span", {}, t("action.delete"))),
      actButton(t("files.download"), () => save(bot, entry), { kind: "main", glyph: "download" }),
    ],
  });
  dialog.closed.then(() => stop.abort());
}

const ending = (name) => name.split(".").pop().toLowerCase();
const plain = (text) => h("pre", { class: "whole", tabindex: "0", role: "region", "aria-label": t("files.content"), dir: "auto" }, text || " ");

function draw(bot, entry, file, signal) {
  const note = file.truncated && h("p", { class: "hint" }, t("files.truncated"));
  const text = typeof file.content === "string" ? file.content : null;
  if (file.previewKind === "image") return picture(bot, entry, file, signal);
  if (text === null) return nothing();
  if (text === "") return h("p", { class: "hint" }, t("files.blank"));
  if (file.previewKind === "markdown") return [note, both(() => h("div", { class: "body reading", tabindex: "0", role: "region", "aria-label": t("files.content") }, markdown(text)), () => plain(text), "files.asText")];
  if (file.previewKind === "html") return [note, both(() => plain(text), () => [h("p", { class: "hint" }, t("files.inert")), inertPage(text, t("files.pageOf", { name: shown(entry.name) }))], "files.asPage")];
  return [note, plain(text)];
}

// Two ways to look at it: the first, and behind a button that stays pressed the second.
function both(first, second, label) {
  const place = h("div", { class: "stack" }, first());
  const button = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => {
    const on = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(on));
    replace(place, on ? second() : first());
  } }, icon("eye", 18), h("span", {}, t(label)));
  return h("div", { class: "stack" }, h("div", {}, button), place);
}

function nothing() {
  return empty("file", t("files.binary"), t("files.binaryText"));
}

function picture(bot, entry, file, signal) {
  // The type is ours, never the stored one: what the bytes are besides a picture does not matter then.
  const type = PICTURES.get(ending(entry.name)) ?? [...PICTURES.values()].find((one) => one === file.contentType);
  if (!type || (entry.size ?? 0) > LARGEST_PICTURE) return nothing();
  return loading(() => fileBlob(bot.botId, entry.key, { signal }), (blob) => {
    const url = URL.createObjectURL(new Blob([blob], { type }));
    signal.addEventListener("abort", () => URL.revokeObjectURL(url));
    const image = h("img", { class: "picture", src: url, alt: shown(entry.name), onerror: () => image.replaceWith(nothing()) });
    return image;
  }, { placeholder: () => skeleton("cards", 1) });
}

// The files of a bot: folders, uploads on their way, previews, downloads.
import { api, part } from "../core/api.js";
import { h, name as shown, replace } from "../core/dom.js";
import { bytes, t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { act } from "../components/act.js";
import { confirmDialog } from "../components/dialog.js";
import { icon } from "../components/icon.js";
import { pagedList } from "../components/list.js";
import { menu } from "../components/menu.js";
import { empty, skeleton } from "../components/states.js";
import { ago } from "../components/time.js";
import { toast } from "../components/toast.js";
import { previewDialog, save } from "./file-preview.js";
import { uploads } from "./file-uploads.js";

/** The folder is one part of the address: `/bots/{botId}/files/{prefix}`. */
export function tab({ bot, params, signal }) {
  const base = `/api/bots/${part(bot.botId)}/files`;
  const here = `/bots/${part(bot.botId)}/files`;
  let prefix = "";
  let list = null;
  const crumbs = h("nav", { class: "crumbs", "aria-label": t("files.path") });
  const place = h("div");
  const queue = uploads({ bot, signal, stored: (key) => { if (key.startsWith(prefix)) list.reload(); } });
  const input = h("input", { type: "file", multiple: true, hidden: true, onchange: () => { queue.add([...input.files], prefix); input.value = ""; } });
  const choose = h("button", { type: "button", class: "main", onclick: () => input.click() }, icon("upload", 18), h("span", {}, t("files.upload")));

  function show(folder) {
    prefix = folder && !folder.endsWith("/") ? `${folder}/` : folder ?? "";
    const parts = prefix.split("/").filter(Boolean);
    replace(crumbs, h("ol", {}, h("li", {}, step(here, t("files.root"), parts.length === 0)),
      parts.map((one, index) => h("li", {}, icon("right", 14), step(`${here}/${part(parts.slice(0, index + 1).join("/"))}`, h("bdi", { class: "clip1" }, shown(one)), index === parts.length - 1)))));
    const mine = prefix;
    list = pagedList({
      label: t("files.in", { name: shown(parts.at(-1) ?? t("files.root")) }), limit: 200, attributes: { class: "rows boxed files" }, placeholder: () => skeleton("rows", 6),
      load: (cursor, limit) => api.get(`${base}?limit=${limit}${mine ? `&prefix=${part(mine)}` : ""}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal }),
      row,
      nothing: () => empty("folder", t(mine ? "files.emptyFolder" : "files.none"), t("files.noneText")),
    });
    replace(place, list);
  }
  const step = (path, label, current) => link(path, { class: "crumb", "aria-current": current ? "page" : undefined }, label);

  function row(entry) {
    const title = h("bdi", { class: "clip1" }, shown(entry.name) || "?");
    if (entry.isFolder) return h("div", {}, link(`${here}/${part(entry.key.replace(/\/$/, ""))}`, { class: "list-row" }, h("span", { class: "file-icon folder" }, icon("folder")), h("span", { class: "grow" }, title), icon("right", 16)));
    const more = h("button", { type: "button", class: "icon-button", "aria-label": t("files.actions", { name: shown(entry.name) }) }, icon("more"));
    return h("div", { class: "file-row" },
      h("button", { type: "button", class: "list-row", onclick: () => previewDialog({ bot, entry, signal, remove: () => remove(entry) }) }, h("span", { class: "file-icon" }, icon("file")),
        h("span", { class: "grow" }, title, h("span", { class: "hint only-phone" }, `${bytes(entry.size ?? 0)} · `, ago(entry.lastModified))),
        h("span", { class: "hint only-desk size" }, bytes(entry.size ?? 0)), h("span", { class: "hint only-desk time" }, ago(entry.lastModified))),
      menu(more, [
        { label: t("files.download"), glyph: "download", run: () => act(more, () => save(bot, entry)) },
        { label: t("action.delete"), glyph: "trash", danger: true, run: () => remove(entry) },
      ]));
  }

  async function remove(entry) {
    const done = await confirmDialog({
      title: t("files.deleteTitle", { name: shown(entry.name) }), text: t("files.deleteText"), action: t("action.delete"), danger: true,
      work: () => api.remove(`${base}?key=${part(entry.key)}`).catch((error) => { if (error.status !== 404) throw error; }),
    });
    if (!done) return false;
    list.update((one) => one.key === entry.key, () => null);
    toast(t("files.deleted", { name: shown(entry.name) }));
    return true;
  }

  // Files dropped anywhere on the page.
  const view = h("div", { class: "stack filepage" }, h("div", { class: "row spread" }, crumbs, choose, input), queue.view, place, h("p", { class: "drop-note", "aria-hidden": "true" }, icon("upload", 28), t("files.drop")));
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  view.addEventListener("dragover", (event) => { if (holdsFiles(event)) { event.preventDefault(); view.classList.add("dropping"); } });
  view.addEventListener("dragleave", (event) => { if (!view.contains(event.relatedTarget)) view.classList.remove("dropping"); });
  view.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    view.classList.remove("dropping");
    queue.add([...event.dataTransfer.files], prefix);
  });
  show(params.item);

  return {
    view,
    change(next) {
      if (next.params.tab !== "files") return false;
      show(next.params.item);
      const current = crumbs.querySelector("[aria-current]");
      current?.focus();
      return true;
    },
    leave: () => queue.stop(),
  };
}

// The platform's library of skills. Administrators only.
import { all, api, part, uploadForm } from "../core/api.js";
import { h, name as shown, randomId, replace } from "../core/dom.js";
import { bytes, t } from "../core/i18n.js";
import { confirmDialog, openDialog } from "../components/dialog.js";
import { field, form } from "../components/form.js";
import { icon } from "../components/icon.js";
import { progress } from "../components/progress.js";
import { empty, loading, skeleton, tag } from "../components/states.js";
import { toggle } from "../components/switch.js";
import { ago } from "../components/time.js";
import { toast } from "../components/toast.js";

const PATH = "/api/admin/skills";
const MOST = 10 << 20;

export function page({ signal }) {
  const list = loading(() => all(PATH, { signal }), (skills) => (skills.length ? h("div", { class: "stack" }, skills.map(card))
    : empty("book", t("skills.none"), t("skills.noneText"), add("main"))), { placeholder: () => skeleton("cards", 3) });
  const reload = () => list.reload();
  const add = (kind) => h("button", { type: "button", class: kind, onclick: () => uploadDialog(reload) }, icon("upload", 18), h("span", {}, t("skills.upload")));
  const fetchGit = h("button", { type: "button", onclick: () => gitDialog(reload) }, icon("link", 18), h("span", {}, t("skills.git")));

  function card(skill) {
    const path = `${PATH}/${part(skill.skillId)}`;
    const name = shown(skill.name);
    const active = skill.status === "active";
    const remove = async () => {
      const done = await confirmDialog({ title: t("skills.deleteTitle", { name }), text: t("skills.deleteText"), action: t("action.delete"), danger: true,
        work: () => api.remove(path).catch((error) => { if (error.status !== 404) throw error; }) });
      if (done) { toast(t("skills.deleted")); reload(); }
    };
    return h("article", { class: "card stack", "aria-label": name, "data-skill": skill.skillId },
      h("div", { class: "row top" }, h("div", { class: "grow" }, h("h2", { class: "row" }, h("bdi", { class: "wrap" }, name), !active && tag(t("skills.disabled"), "warn")),
        skill.description && h("p", { class: "hint wrap", dir: "auto" }, skill.description)),
      toggle(t("skills.offer", { name }), active, async (on) => {
        await api.put(path, { status: on ? "active" : "disabled" });
        await reload();
        document.querySelector(`[data-skill="${CSS.escape(skill.skillId)}"] input[role="switch"]`)?.focus();
      })),
      h("dl", { class: "facts" },
        h("dt", {}, t("skills.directories")), h("dd", {}, skill.directories.map((one, index) => [index > 0 && ", ", h("code", {}, one)])),
        h("dt", {}, t("skills.version")), h("dd", {}, skill.version),
        h("dt", {}, t("skills.source")), h("dd", {}, skill.sourceUrl ? h("span", { class: "mono" }, skill.sourceUrl) : t("skills.fromArchive")),
        h("dt", {}, t("skills.added")), h("dd", {}, ago(skill.createdAt))),
      h("details", {}, h("summary", {}, t("skills.files", { count: skill.fileCount })), h("ul", { class: "tool-list" }, skill.files.map((file) => h("li", {}, h("code", {}, file))))),
      h("div", { class: "actions" }, h("button", { type: "button", class: "danger", onclick: remove }, t("action.delete"))));
  }
  return { title: t("nav.adminSkills"), view: h("div", { class: "stack" }, h("div", { class: "headline" }, h("h1", {}, t("nav.adminSkills")), h("div", { class: "actions" }, fetchGit, add("main"))), h("p", { class: "lead" }, t("skills.libraryAbout")), list) };
}

// One key for all tries of the same request; what was changed is another request.
function requestKey() {
  let last = null;
  return (content) => {
    const mark = JSON.stringify(content);
    if (last?.mark !== mark) last = { mark, id: randomId() };
    return last.id;
  };
}

function aboutFields() {
  const name = field(t("skills.name"), h("input", { required: true, maxlength: 200, autocomplete: "off" }), { name: "name" });
  const description = field(t("skills.description"), h("input", { maxlength: 2000, autocomplete: "off" }), { hint: t("skills.descriptionHint"), name: "description", optional: true });
  const version = field(t("skills.version"), h("input", { maxlength: 50, autocomplete: "off", placeholder: "1.0.0" }), { name: "version", optional: true });
  return {
    name, boxes: [name, description, version],
    values: () => Object.fromEntries([["name", name], ["description", description], ["version", version]].map(([key, box]) => [key, box.input.value.trim()]).filter(([, value]) => value)),
  };
}

function uploadDialog(saved) {
  const about = aboutFields();
  const file = field(t("skills.archive"), h("input", { type: "file", accept: ".zip,application/zip", required: true }), { hint: t("skills.archiveHint", { size: bytes(MOST) }), name: "file" });
  file.input.addEventListener("change", () => {
    const chosen = file.input.files[0];
    file.fail(chosen && chosen.size > MOST ? t("skills.tooLarge", { size: bytes(MOST) }) : undefined);
    if (chosen && !about.name.input.value) about.name.input.value = chosen.name.replace(/\.zip$/i, "");
  });
  const place = h("div", { role: "status" });
  const abort = new AbortController();
  const key = requestKey();
  const dialog = openDialog({ title: t("skills.upload"), body: [h("p", { class: "hint" }, t("skills.uploadAbout")), form({
    children: [file, ...about.boxes, place], label: t("skills.upload"), actions: [h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("action.cancel"))],
    submit: async () => {
      const chosen = file.input.files[0];
      if (chosen.size > MOST) { file.fail(t("skills.tooLarge", { size: bytes(MOST) })); file.input.focus(); return; }
      const values = about.values();
      const body = new FormData();
      for (const [name, value] of Object.entries(values)) body.append(name, value);
      body.append("file", chosen, "skill.zip");
      const bar = progress(shown(chosen.name));
      replace(place, bar);
      try {
        await uploadForm(`${PATH}/upload`, body, { progress: (sent, total) => bar.set(sent, total), signal: abort.signal, headers: { "Idempotency-Key": key([values, chosen.name, chosen.size, chosen.lastModified]) } });
      } finally {
        replace(place);
      }
      dialog.close();
      toast(t("skills.saved"));
      saved();
    },
  })] });
  dialog.closed.then(() => abort.abort());
  file.input.focus();
}

function gitDialog(saved) {
  const about = aboutFields();
  const line = (more) => h("input", { autocomplete: "off", autocapitalize: "off", spellcheck: "false", class: "mono", ...more });
  const url = field(t("skills.url"), line({ type: "url", required: true, maxlength: 500, placeholder: "https://github.com/example/skills" }), { hint: t("skills.urlHint"), name: "url" });
  const ref = field(t("skills.ref"), line({ maxlength: 200, placeholder: "main" }), { name: "ref", optional: true });
  const path = field(t("skills.path"), line({ maxlength: 1024, placeholder: "skills/pdf" }), { hint: t("skills.pathHint"), name: "path", optional: true });
  const key = requestKey();
  const dialog = openDialog({ title: t("skills.git"), body: form({
    children: [url, ref, path, ...about.boxes], label: t("skills.fetch"), actions: [h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("action.cancel"))],
    submit: async () => {
      const rest = Object.fromEntries([["ref", ref], ["path", path]].map(([name, box]) => [name, box.input.value.trim()]).filter(([, value]) => value));
      const body = { url: url.input.value.trim(), ...rest, ...about.values() };
      await api.post(`${PATH}/git`, body, { headers: { "Idempotency-Key": key(body) } });
      dialog.close();
      toast(t("skills.saved"));
      saved();
    },
  }) });
  url.input.focus();
}

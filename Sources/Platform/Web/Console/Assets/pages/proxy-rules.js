// Proxy rules: addresses that bots call with a key they never see.
import { api, part } from "../core/api.js";
import { h, name as shown, randomId } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { confirmDialog, openDialog } from "../components/dialog.js";
import { field, form, options } from "../components/form.js";
import { icon } from "../components/icon.js";
import { pagedList } from "../components/list.js";
import { menu } from "../components/menu.js";
import { empty, tag } from "../components/states.js";
import { toast } from "../components/toast.js";

/** Services that many people use, as their own documentation says. */
const PRESETS = {
  openai: { name: "OpenAI", prefix: "/openai", target: "https://api.openai.com", authType: "bearer" },
  anthropic: { name: "Anthropic", prefix: "/anthropic", target: "https://api.anthropic.com", authType: "api-key", headerName: "x-api-key" },
  "google-ai": { name: "Google AI", prefix: "/google-ai", target: "https://generativelanguage.googleapis.com", authType: "api-key", headerName: "x-goog-api-key" },
  github: { name: "GitHub", prefix: "/github", target: "https://api.github.com", authType: "bearer" },
  gitlab: { name: "GitLab", prefix: "/gitlab", target: "https://gitlab.com/api/v4", authType: "api-key", headerName: "PRIVATE-TOKEN" },
  jira: { name: "Jira", prefix: "/jira", target: "https://YOUR-SITE.atlassian.net", authType: "basic" },
  notion: { name: "Notion", prefix: "/notion", target: "https://api.notion.com", authType: "bearer" },
};

export function page({ signal }) {
  const list = pagedList({
    label: t("nav.proxyRules"), attributes: { class: "rows boxed" },
    load: (cursor, limit) => api.get(`/api/proxy-rules?limit=${limit}${cursor ? `&cursor=${part(cursor)}` : ""}`, { signal }),
    row, nothing: () => empty("key", t("rules.none"), t("rules.noneText"), h("button", { type: "button", class: "main", onclick: () => edit() }, icon("plus", 18), h("span", {}, t("rules.new")))),
  });

  function row(rule) {
    const more = h("button", { type: "button", class: "icon-button", "aria-label": t("rules.actions", { name: shown(rule.name) }) }, icon("more"));
    return h("div", { class: "list-row" }, h("span", { class: "group-icon" }, icon("key", 18)),
      h("span", { class: "grow" }, h("b", {}, h("bdi", { class: "clip1" }, shown(rule.name))), h("span", { class: "hint wrap" }, h("code", {}, rule.prefix), " → ", rule.target)),
      h("span", { class: "only-desk" }, tag(t(`rules.auth.${rule.authType}`))),
      menu(more, [
        { label: t("action.edit"), glyph: "edit", run: () => edit(rule) },
        { label: t("action.delete"), glyph: "trash", danger: true, run: () => remove(rule) },
      ]));
  }

  function edit(rule) {
    const title = field(t("rules.name"), h("input", { value: rule?.name ?? "", required: true, maxlength: 100, autocomplete: "off" }), { name: "name" });
    const prefix = field(t("rules.prefix"), h("input", { value: rule?.prefix ?? "", required: true, maxlength: 65, class: "mono", autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "/weather" }), { hint: t("rules.prefixHint"), name: "prefix" });
    const target = field(t("rules.target"), h("input", { type: "url", value: rule?.target ?? "", required: true, maxlength: 500, class: "mono", autocomplete: "off", spellcheck: "false", placeholder: "https://api.example.com" }), { hint: t("rules.targetHint"), name: "target" });
    const auth = field(t("rules.auth"), options(h("select"), ["bearer", "api-key", "basic"].map((one) => [one, t(`rules.auth.${one}`)]), rule?.authType ?? "bearer"), { name: "authType" });
    const header = field(t("rules.header"), h("input", { value: rule?.headerName ?? "", maxlength: 100, class: "mono", autocomplete: "off", spellcheck: "false", placeholder: "x-api-key" }), { name: "headerName" });
    const value = field(t("rules.value"), h("input", { type: "password", maxlength: 2000, required: !rule, autocomplete: "off", spellcheck: "false" }), { hint: rule ? t("rules.valueKept") : t("rules.valueHint"), name: "value", optional: Boolean(rule) });
    const draw = () => {
      header.hidden = auth.input.value !== "api-key";
      header.input.required = !header.hidden;
      value.input.placeholder = auth.input.value === "basic" ? t("rules.basicExample") : "";
    };
    auth.input.addEventListener("input", draw);
    draw();
    const presets = !rule && h("div", { class: "presets", role: "group", "aria-label": t("rules.presets") }, Object.values(PRESETS).map((preset) => h("button", { type: "button", class: "chip", onclick: () => {
      title.input.value = preset.name;
      prefix.input.value = preset.prefix;
      target.input.value = preset.target;
      auth.input.value = preset.authType;
      header.input.value = preset.headerName ?? "";
      draw();
      (preset.target.includes("YOUR-SITE") ? target : value).input.focus();
    } }, preset.name)));
    const key = randomId();
    const dialog = openDialog({ title: t(rule ? "rules.editTitle" : "rules.new"), body: [h("p", { class: "hint" }, t("rules.about")), presets, form({
      children: [title, prefix, target, auth, header, value], label: t("action.save"),
      submit: async () => {
        const body = { name: title.input.value.trim(), prefix: prefix.input.value.trim(), target: target.input.value.trim(), authType: auth.input.value };
        if (body.authType === "api-key") body.headerName = header.input.value.trim();
        else if (rule?.headerName) body.headerName = null;
        if (value.input.value) body.value = value.input.value;
        if (rule) {
          for (const field of Object.keys(body)) if (body[field] === (rule[field] ?? null)) delete body[field];
          if (Object.keys(body).length === 0) { dialog.close(); toast(t("state.nothingNew"), "info"); return; }
          // A stored secret is never sent somewhere new: the server asks for it again.
          const next = await api.put(`/api/proxy-rules/${part(rule.id)}`, body);
          dialog.close();
          list.update((one) => one.id === rule.id, () => next);
        } else {
          await api.post("/api/proxy-rules", body, { headers: { "Idempotency-Key": key } });
          dialog.close();
          list.reload();
        }
        toast(t("state.saved"));
      },
    })] });
    title.input.focus();
  }

  async function remove(rule) {
    const done = await confirmDialog({ title: t("rules.deleteTitle", { name: shown(rule.name) }), text: t("rules.deleteText"), action: t("action.delete"), danger: true,
      work: () => api.remove(`/api/proxy-rules/${part(rule.id)}`).catch((error) => { if (error.status !== 404) throw error; }) });
    if (done) list.update((one) => one.id === rule.id, () => null);
  }

  return { title: t("nav.proxyRules"), view: h("div", { class: "stack" }, h("div", { class: "headline" }, h("h1", {}, t("nav.proxyRules")), h("button", { type: "button", class: "main", onclick: () => edit() }, icon("plus", 18), h("span", {}, t("rules.new")))), h("p", { class: "lead" }, t("rules.about")), list) };
}

// What an MCP server is, and its secrets: the dialogs of a bot's own servers and of the platform's library.
import { api, part } from "../core/api.js";
import { h, name as shown, randomId } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { iconButton } from "../components/act.js";
import { openDialog } from "../components/dialog.js";
import { check, field, form, options } from "../components/form.js";
import { icon } from "../components/icon.js";
import { toast } from "../components/toast.js";

export const KINDS = ["stdio", "http", "sse"];
const SECRET = /\$\{secret:([^}]*)\}/g;
const lines = (text) => text.split("\n").map((one) => one.trim()).filter(Boolean);
const secretsIn = (text) => [...String(text ?? "").matchAll(SECRET)].map((match) => match[1]);

/** Names under which secrets may be stored for a server, as the server counts them: variables that neither a text nor another secret fills. */
export function secretNames(server) {
  return server.envVars.filter((one) => one.template === undefined || one.template === `\${secret:${one.name}}`).map((one) => one.name);
}

/** Secrets of a stdio server without which it does not start, and that its owner keeps from the agent. */
export function hiddenSecrets(server) {
  if (server.type !== "stdio") return [];
  const needed = server.envVars.filter((one) => one.required).flatMap((one) => (one.template === undefined ? [one.name] : secretsIn(one.template)));
  return [...new Set(needed)].filter((name) => !server.agentVisible.includes(name));
}

/** Where it is, in one line; of a library's server its users see the kind only. */
export function target(server) {
  if (server.url) return server.url;
  return server.command ? [server.command, ...(server.args ?? [])].join(" ") : "";
}

/**
 * Asks for a definition. `server` is the one to change, absent for a new one; `path` is where new ones are posted, and below which
 * the changed one is. `saved(server)` is called afterwards.
 */
export function serverDialog({ server, path, saved }) {
  const text = (value, more = {}) => h("input", { value: value ?? "", autocomplete: "off", autocapitalize: "off", spellcheck: "false", ...more });
  const area = (value, rows, more = {}) => h("textarea", { rows, class: "paper", spellcheck: "false", autocapitalize: "off", value: (value ?? []).join("\n"), ...more });
  const name = field(t("mcp.name"), text(server?.name, { required: true, maxlength: 100 }), { hint: t("mcp.nameHint"), name: "name" });
  const about = field(t("mcp.description"), h("input", { value: server?.description ?? "", maxlength: 500 }), { name: "description", optional: true });
  const type = field(t("mcp.type"), options(h("select"), KINDS.map((one) => [one, t(`mcp.type.${one}`)]), server?.type ?? "stdio"), { name: "type" });
  const command = field(t("mcp.command"), text(server?.command, { maxlength: 200, class: "mono", placeholder: "/usr/bin/python3" }), { hint: t("mcp.commandHint"), name: "command" });
  const args = field(t("mcp.args"), area(server?.args, 3, { placeholder: "-m\nmcp_server_time" }), { hint: t("mcp.onePerLine"), name: "args", optional: true });
  const packages = field(t("mcp.packages"), area(server?.npmPackages, 2, { placeholder: "@scope/name@1.2.3" }), { hint: t("mcp.packagesHint"), name: "npmPackages", optional: true });
  const url = field(t("mcp.url"), text(server?.url, { type: "url", maxlength: 500, class: "mono", placeholder: "https://mcp.example.com/mcp" }), { hint: t("mcp.urlHint"), name: "url" });
  const headers = field(t("mcp.headers"), area(Object.entries(server?.headers ?? {}).map(([key, value]) => `${key}: ${value}`), 2, { placeholder: "Authorization: Bearer ${secret:TOKEN}" }), { hint: t("mcp.headersHint"), name: "headers", optional: true });
  const variables = variableRows(server?.envVars ?? []);
  const draw = () => {
    const local = type.input.value === "stdio";
    command.hidden = args.hidden = packages.hidden = !local;
    url.hidden = headers.hidden = local;
    command.input.required = local;
    url.input.required = !local;
    variables.draw(local);
  };
  type.input.addEventListener("input", draw);
  draw();

  // null clears what the other kind does not have.
  function values() {
    const local = type.input.value === "stdio";
    const pairs = lines(headers.input.value).map((line) => { const colon = line.indexOf(":"); return colon < 0 ? [line, ""] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()]; });
    const list = (box) => (local && box.input.value.trim() ? lines(box.input.value) : null);
    return {
      name: name.input.value.trim(), description: about.input.value.trim() || null, type: type.input.value,
      command: local ? command.input.value.trim() : null, args: list(args), npmPackages: list(packages),
      url: local ? null : url.input.value.trim(), headers: local || !pairs.length ? null : Object.fromEntries(pairs), envVars: variables.values(),
    };
  }
  const once = randomId();
  const dialog = openDialog({ title: t(server ? "mcp.editTitle" : "mcp.new"), kind: "wide", body: [server && h("p", { class: "hint" }, t("mcp.targetHint")), form({
    children: [name, about, type, command, args, packages, url, headers, variables.view], label: t("action.save"),
    actions: [h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("action.cancel"))],
    submit: async () => {
      const body = values();
      let next;
      if (server) {
        const before = { ...server, envVars: server.envVars.length ? server.envVars : null };
        const changes = Object.fromEntries(Object.entries(body).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(before[key] ?? null)));
        if (Object.keys(changes).length === 0) { dialog.close(); toast(t("state.nothingNew"), "info"); return; }
        next = await api.put(`${path}/${part(server.mcpServerId)}`, changes);
      } else {
        next = await api.post(path, Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null)), { headers: { "Idempotency-Key": once } });
      }
      dialog.close();
      toast(t("state.saved"));
      saved(next);
    },
  })] });
  name.input.focus();
}

// The server's environment: a secret that is asked for elsewhere, or a text that may refer to one.
function variableRows(given) {
  const rows = [];
  const list = h("div", { class: "stack" });
  const note = h("p", { class: "hint" });
  const add = h("button", { type: "button", onclick: () => { append({ name: "" }); rows.at(-1).name.input.focus(); } }, icon("plus", 18), h("span", {}, t("mcp.addVariable")));
  const rename = () => rows.forEach((row, index) => { row.name.field = `envVars[${index}].name`; row.text.field = `envVars[${index}].template`; });

  function append(variable) {
    const row = { source: variable };
    row.name = field(t("mcp.variable"), h("input", { value: variable.name, required: true, maxlength: 64, class: "mono", autocomplete: "off", autocapitalize: "characters", spellcheck: "false", placeholder: "API_KEY" }));
    row.kind = field(t("mcp.filledBy"), options(h("select"), [["secret", t("mcp.filledBy.secret")], ["text", t("mcp.filledBy.text")]], variable.template === undefined ? "secret" : "text"));
    row.text = field(t("mcp.text"), h("input", { value: variable.template ?? "", maxlength: 1000, class: "mono", autocomplete: "off", spellcheck: "false" }), { hint: t("mcp.textHint") });
    row.required = check(t("mcp.required"), { checked: variable.required ?? false });
    row.view = h("div", { class: "variable", role: "group", "aria-label": t("mcp.variable") }, row.name, row.kind, row.text, row.required, iconButton("trash", t("mcp.removeVariable"), () => {
      rows.splice(rows.indexOf(row), 1);
      row.view.remove();
      rename();
      add.focus();
    }));
    const draw = () => { row.text.hidden = row.kind.input.value !== "text"; };
    row.kind.input.addEventListener("input", draw);
    draw();
    rows.push(row);
    list.append(row.view);
    rename();
  }
  given.forEach(append);
  return {
    view: h("fieldset", { class: "plain-set stack" }, h("legend", {}, t("mcp.variables")), note, list, h("div", { class: "actions" }, add)),
    draw: (local) => { note.textContent = t(local ? "mcp.variablesLocal" : "mcp.variablesRemote"); },
    values: () => (rows.length ? rows.map(({ source, name, kind, text, required }) => ({
      name: name.input.value.trim(), ...(source.description !== undefined ? { description: source.description } : {}),
      ...(required.input.checked ? { required: true } : source.required !== undefined ? { required: false } : {}),
      ...(kind.input.value === "text" ? { template: text.input.value } : {}),
    })) : null),
  };
}

/** Asks for a server's secrets: what is stored is never shown, only that it is. `path` is the server's, of one bot. */
export function secretsDialog({ server, path, saved }) {
  const boxes = secretNames(server).map((name) => {
    const stored = server.configuredSecrets.includes(name);
    const about = server.envVars.find((one) => one.name === name)?.description;
    const value = field(name, h("input", { type: "password", maxlength: 2000, autocomplete: "off", spellcheck: "false", placeholder: stored ? "••••••••" : "" }), { hint: [about, t(stored ? "mcp.secretKept" : "mcp.secretMissing")].filter(Boolean).join(" "), name: `secrets.${name}` });
    const forget = stored && check(t("mcp.forgetSecret", { name: shown(name) }));
    const visible = server.type === "stdio" && check(t("mcp.visible", { name: shown(name) }), { checked: server.agentVisible.includes(name) });
    return { name, value, forget, visible, view: h("div", { class: "stack tight" }, value, visible, forget) };
  });
  const dialog = openDialog({ title: t("mcp.secretsTitle", { name: shown(server.name) }), body: [h("p", { class: "hint" }, t(server.type === "stdio" ? "mcp.secretsLocal" : "mcp.secretsRemote")), form({
    children: boxes.map((one) => one.view), label: t("action.save"), actions: [h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("action.cancel"))],
    submit: async () => {
      const secrets = {};
      for (const { name, value, forget } of boxes) {
        if (value.input.value) secrets[name] = value.input.value;
        else if (forget && forget.input.checked) secrets[name] = null;
      }
      const body = {};
      if (Object.keys(secrets).length) body.secrets = secrets;
      const seen = boxes.filter(({ visible }) => visible && visible.input.checked).map((one) => one.name).sort();
      if (server.type === "stdio" && JSON.stringify(seen) !== JSON.stringify([...server.agentVisible].sort())) body.agentVisible = seen;
      if (Object.keys(body).length === 0) { dialog.close(); toast(t("state.nothingNew"), "info"); return; }
      await api.put(`${path}/secrets`, body);
      dialog.close();
      toast(t("state.saved"));
      saved();
    },
  })] });
  (boxes[0]?.value.input ?? dialog.element.querySelector("button")).focus();
}

/** What its author says that it offers. */
export function toolList(server) {
  if (!server.tools?.length) return null;
  return h("details", {}, h("summary", {}, t("mcp.tools", { count: server.tools.length })), h("ul", { class: "tool-list" }, server.tools.map((tool) => h("li", {}, h("code", {}, tool.name), tool.description && h("span", { class: "hint" }, ` ${tool.description}`)))));
}

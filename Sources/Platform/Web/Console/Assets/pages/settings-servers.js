// The MCP servers that give a bot more tools: those of the library with a switch, and its own.
import { all, api, part } from "../core/api.js";
import { h, name as shown } from "../core/dom.js";
import { loadArea, t } from "../core/i18n.js";
import { confirmDialog } from "../components/dialog.js";
import { icon } from "../components/icon.js";
import { empty, loading, skeleton, tag } from "../components/states.js";
import { toggle } from "../components/switch.js";
import { toast } from "../components/toast.js";
import { hiddenSecrets, secretNames, secretsDialog, serverDialog, target, toolList } from "./mcp-form.js";

export function serversSection({ bot, path, signal }) {
  const base = `${path}/mcp-servers`;
  const load = async () => (await Promise.all([all(base, { signal }), loadArea("mcp")]))[0];
  const place = loading(load, draw, { placeholder: () => h("div", { class: "card" }, skeleton("lines", 6)) });
  const reload = () => place.reload();

  function draw(servers) {
    const library = servers.filter((one) => one.source === "platform");
    const own = servers.filter((one) => one.source === "custom");
    const add = h("button", { type: "button", class: own.length ? "" : "main", onclick: () => serverDialog({ path: `${base}/custom`, saved: fresh }) }, icon("plus", 18), h("span", {}, t("mcp.new")));
    return h("div", { class: "stack loose" },
      h("section", { class: "card stack" }, h("h2", {}, t("mcp.library")), h("p", { class: "hint" }, t("mcp.about")),
        library.length ? h("ul", { class: "plain-list" }, library.map((one) => row(one, library))) : h("p", { class: "hint" }, t("mcp.libraryEmpty"))),
      h("section", { class: "card stack" }, h("div", { class: "row spread" }, h("h2", {}, t("mcp.own")), own.length > 0 && add),
        own.length ? h("ul", { class: "plain-list" }, own.map((one) => row(one, library))) : empty("bolt", t("mcp.ownNone"), t("mcp.ownNoneText"), add)));
  }

  // A new server that needs secrets asks for them at once.
  function fresh(server) {
    reload();
    if (secretNames(server).length) secretsDialog({ server, path: `${base}/${part(server.mcpServerId)}`, saved: reload });
  }

  function row(server, library) {
    const name = shown(server.name);
    const own = server.source === "custom";
    const one = `${base}/${part(server.mcpServerId)}`;
    const turn = async (on) => {
      if (own) await api.put(`${base}/custom/${part(server.mcpServerId)}`, { enabled: on });
      else await api.put(base, { mcpServers: library.filter((other) => (other === server ? on : other.enabled)).map((other) => other.mcpServerId) });
      await reload();
      document.querySelector(`[data-server="${CSS.escape(server.mcpServerId)}"] input[role="switch"]`)?.focus();
    };
    const problem = server.enabled && whyNot(server, bot);
    const remove = async () => {
      const done = await confirmDialog({ title: t("mcp.deleteTitle", { name }), text: t("mcp.deleteText"), action: t("action.delete"), danger: true,
        work: () => api.remove(`${base}/custom/${part(server.mcpServerId)}`).catch((error) => { if (error.status !== 404) throw error; }) });
      if (done) { toast(t("mcp.deleted")); reload(); }
    };
    return h("li", { class: "server", "data-server": server.mcpServerId },
      h("div", { class: "row top" }, h("div", { class: "grow" },
        h("h3", { class: "row" }, h("bdi", { class: "wrap" }, name), tag(t(`mcp.kind.${server.type}`))),
        server.description && h("p", { class: "hint wrap", dir: "auto" }, server.description),
        own && h("p", { class: "hint mono wrap" }, target(server))), toggle(t("mcp.use", { name }), server.enabled, turn)),
      problem && h("p", { class: "note warn" }, icon("alert", 18), h("span", {}, problem)),
      toolList(server),
      (own || secretNames(server).length > 0) && h("div", { class: "actions" },
        secretNames(server).length > 0 && h("button", { type: "button", onclick: () => secretsDialog({ server, path: one, saved: reload }) }, icon("key", 18), h("span", {}, t("mcp.secrets"))),
        own && h("button", { type: "button", onclick: () => serverDialog({ server, path: `${base}/custom`, saved: reload }) }, icon("edit", 18), h("span", {}, t("action.edit"))),
        own && h("button", { type: "button", class: "danger", onclick: remove }, t("action.delete"))));
  }
  return place;
}

/** Why a server that is switched on does not start, as a sentence; null when nothing is known against it. */
function whyNot(server, bot) {
  if (server.missingSecrets.length) return t("mcp.missing", { names: server.missingSecrets.join(", ") });
  const hidden = hiddenSecrets(server);
  if (hidden.length) return t("mcp.hidden", { names: hidden.join(", ") });
  const { mcpToolsEnabled, allowedMcpTools } = bot.toolWhitelist;
  if (mcpToolsEnabled && !allowedMcpTools.some((tool) => tool.startsWith(`mcp__${server.slug}__`))) return t("mcp.notListed", { pattern: `mcp__${server.slug}__*` });
  if (server.lastFailure) return t("mcp.failed", { reason: server.lastFailure.reason });
  return null;
}

// The platform's library of MCP servers: what every bot may be given. Administrators only.
import { all, api, part } from "../core/api.js";
import { h, name as shown } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { confirmDialog } from "../components/dialog.js";
import { icon } from "../components/icon.js";
import { empty, loading, skeleton, tag } from "../components/states.js";
import { toggle } from "../components/switch.js";
import { toast } from "../components/toast.js";
import { secretNames, serverDialog, target, toolList } from "./mcp-form.js";

const PATH = "/api/admin/mcp-servers";

export function page({ signal }) {
  const list = loading(() => all(PATH, { signal }), (servers) => (servers.length ? h("div", { class: "stack" }, servers.map(card))
    : empty("bolt", t("mcp.libraryNone"), t("mcp.libraryNoneText"), add())), { placeholder: () => skeleton("cards", 3) });
  const reload = () => list.reload();
  const add = () => h("button", { type: "button", class: "main", onclick: () => serverDialog({ path: PATH, saved: reload }) }, icon("plus", 18), h("span", {}, t("mcp.new")));

  function card(server) {
    const path = `${PATH}/${part(server.mcpServerId)}`;
    const name = shown(server.name);
    const active = server.status === "active";
    const remove = async () => {
      const done = await confirmDialog({ title: t("mcp.deleteTitle", { name }), text: t("mcp.deleteLibraryText"), action: t("action.delete"), danger: true,
        work: () => api.remove(path).catch((error) => { if (error.status !== 404) throw error; }) });
      if (done) { toast(t("mcp.deleted")); reload(); }
    };
    const secrets = secretNames(server);
    return h("article", { class: "card stack", "aria-label": name, "data-server": server.mcpServerId },
      h("div", { class: "row top" }, h("div", { class: "grow" }, h("h2", { class: "row" }, h("bdi", { class: "wrap" }, name), tag(t(`mcp.kind.${server.type}`)), !active && tag(t("mcp.disabled"), "warn")),
        server.description && h("p", { class: "hint wrap", dir: "auto" }, server.description)),
      toggle(t("mcp.offer", { name }), active, async (on) => {
        await api.put(path, { status: on ? "active" : "disabled" });
        await reload();
        document.querySelector(`[data-server="${CSS.escape(server.mcpServerId)}"] input[role="switch"]`)?.focus();
      })),
      h("dl", { class: "facts" },
        h("dt", {}, t("mcp.prefix")), h("dd", {}, h("code", {}, `mcp__${server.slug}__`)),
        h("dt", {}, t(server.type === "stdio" ? "mcp.command" : "mcp.url")), h("dd", { class: "mono" }, target(server)),
        secrets.length > 0 && [h("dt", {}, t("mcp.secrets")), h("dd", {}, secrets.map((one, index) => [index > 0 && ", ", h("code", {}, one)]))]),
      toolList(server),
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => serverDialog({ server, path: PATH, saved: reload }) }, icon("edit", 18), h("span", {}, t("action.edit"))),
        h("button", { type: "button", class: "danger", onclick: remove }, t("action.delete"))));
  }
  return { title: t("nav.adminServers"), view: h("div", { class: "stack" }, h("div", { class: "headline" }, h("h1", {}, t("nav.adminServers")), add()), h("p", { class: "lead" }, t("mcp.libraryAbout")), list) };
}

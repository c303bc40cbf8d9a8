// The console's frame: sign-in, navigation, and which page is shown. It talks to its own origin only (SEC-104).
import { api, session } from "./api.js";
import { h, replace, note } from "./dom.js";
import { signIn } from "./pages.js";
import { botList, botPage, sharedMemory, account } from "./pages.js";

const root = document.getElementById("app");
let leave = null;
let config = null;

export function go(path) {
  history.pushState(null, "", path);
  show();
}

function show(reason) {
  leave?.();
  leave = null;
  document.title = "ClawBot Cloud";
  if (!session.signedIn) return frame(null, signIn(() => show(), typeof reason === "string" ? reason : null));
  const parts = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
  let page;
  if (parts[0] === "bots" && parts[1]) page = botPage(parts[1], parts[2] ?? "chat", { go, config });
  else if (parts[0] === "memory") page = sharedMemory();
  else if (parts[0] === "account") page = account({ done: () => show() });
  else page = botList({ go });
  leave = page.leave ?? null;
  frame(parts[0] ?? "", page.view);
  if (page.title) document.title = `${page.title} · ClawBot`;
}

function frame(current, view) {
  const item = (path, label) => h("a", {
    href: path, "aria-current": (path.slice(1) === (current ?? "") || (path === "/" && current === "bots")) ? "page" : undefined,
    onclick: (event) => { if (event.ctrlKey || event.metaKey || event.shiftKey) return; event.preventDefault(); go(path); },
  }, label);
  replace(root,
    h("a", { class: "skip", href: "#main" }, "Skip to content"),
    current !== null && h("header", { class: "top" },
      h("a", { class: "brand", href: "/", onclick: (event) => { event.preventDefault(); go("/"); } }, h("img", { src: "/icon.svg", alt: "", width: 24, height: 24 }), "ClawBot"),
      h("nav", { "aria-label": "Main" }, item("/", "Bots"), item("/memory", "Memory"), item("/account", "Account")),
      h("button", { class: "quiet", type: "button", onclick: async () => { await api.logout(); history.replaceState(null, "", "/"); show(); } }, "Sign out")),
    config && config.features.sandboxed === false && current !== null
      && h("p", { class: "bar" }, "Agents run without a sandbox on this server. Use it for trusted bots only."),
    h("main", { id: "main", tabindex: "-1" }, view));
}

addEventListener("popstate", () => show());
session.onEnd(show);
try {
  config = await api.config();
} catch (error) {
  note(error.message, "bad");
}
show();

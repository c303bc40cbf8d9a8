// The frame around every page: navigation (a sidebar, on a phone a bar at the bottom), language and theme, and the bars that
// say what the person must know: no connection, no sandbox.
import { account, onReach, part } from "./api.js";
import { h, replace } from "./dom.js";
import { currentLanguage, LANGUAGES, setLanguage, t } from "./i18n.js";
import { preferences } from "./preferences.js";
import { link } from "./router.js";
import { routes } from "./routes.js";
import { store } from "./store.js";
import { avatar } from "../components/avatar.js";
import { iconButton } from "../components/act.js";
import { openDialog } from "../components/dialog.js";
import { icon, mark } from "../components/icon.js";
import { menu } from "../components/menu.js";

const main = h("main", { id: "main", tabindex: "-1" });
let redraw = () => {};
let currentRoute = null;

/** The element that pages are shown in. */
export { main };

/** Draws the frame for a signed-in user. `signOut()` ends the session, `changed()` draws everything again (another language). */
export function frame(root, { signOut, changed }) {
  redrawAll = changed;
  const bots = h("ul", { class: "side-bots" });
  const navigations = new Map();
  let admin = false;
  const nav = (place) => {
    const element = h("nav", { class: place, "aria-label": t(place === "dock" ? "nav.dock" : "nav.label") });
    navigations.set(element, place);
    return element;
  };
  const side = nav("side-nav");
  const dock = nav("dock");

  function entries() {
    return routes.filter((route) => route.nav && (route.nav.group !== "admin" || admin));
  }
  const isCurrent = (route) => (route === currentRoute || (currentRoute && route.nav.group === "admin" && route.path !== "/" && currentRoute.path.startsWith(route.path)) ? "page" : undefined);
  const item = (route) => link(route.path, { class: "nav-item", "aria-current": isCurrent(route) }, icon(route.nav.glyph), h("span", {}, t(route.nav.label)));
  function draw() {
    const groups = ["main", "settings", "admin"].map((group) => entries().filter((route) => route.nav.group === group));
    replace(side, item(groups[0][0]), bots, groups[0].slice(1).map(item), groups[1].length > 0 && h("p", { class: "side-head" }, t("nav.settings")), groups[1].map(item),
      groups[2].length > 0 && h("p", { class: "side-head" }, t("nav.admin")), groups[2].map(item));
    replace(dock, entries().filter((route) => route.nav.phone).map(item), h("button", { type: "button", class: "nav-item", onclick: drawer }, icon("menu"), h("span", {}, t("nav.more"))));
    drawBots();
  }
  function drawBots() {
    const open = location.pathname.match(/^\/bots\/([^/]+)/)?.[1];
    store.bots().then((list) => {
      replace(bots, list.slice(0, 20).map((bot) => h("li", {}, link(`/bots/${part(bot.botId)}`, { class: "nav-item", "aria-current": open === part(bot.botId) ? "page" : undefined },
        avatar(bot, "small"), h("bdi", { class: "clip1" }, bot.name), bot.channels.some((channel) => channel.healthStatus === "unhealthy") && h("span", { class: "dot bad", title: t("bot.unhealthy") })))),
      h("li", {}, link("/bots/new", { class: "nav-item soft", "aria-current": open === "new" ? "page" : undefined }, icon("plus"), h("span", {}, t("nav.newBot")))));
    }).catch(() => null);
  }
  function drawer() {
    const dialog = openDialog({ title: t("nav.more"), kind: "drawer", body: [
      h("nav", { "aria-label": t("nav.label"), onclick: (event) => { if (event.target.closest("a")) dialog.close(); } }, entries().map(item)),
      h("div", { class: "drawer-foot" }, choices(changed)),
      h("button", { type: "button", class: "nav-item", onclick: () => { dialog.close(); signOut(); } }, icon("out"), h("span", {}, t("nav.signOut"))),
    ] });
  }

  redraw = draw;
  draw();
  store.me().then((me) => { if (me.isAdmin) { admin = true; draw(); } }).catch(() => null);

  replace(root, h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, t("nav.skip")),
    h("div", { class: "shell" },
      h("header", { class: "side" },
        link("/", { class: "brand" }, mark(28), h("span", {}, "ClawBot")),
        side,
        h("div", { class: "side-foot" }, choices(changed), iconButton("out", t("nav.signOut"), signOut))),
      h("div", { class: "content" }, offlineBar(), sandboxBar(), main),
      dock));
}

/** Tells the navigation which page is shown. */
export function showCurrent(route) {
  currentRoute = route;
  redraw();
}
store.watch(() => redraw());

/** The page before a session: no navigation, language and theme in the corner. */
export function bareFrame(root, view, { changed }) {
  redraw = () => {};
  replace(root, h("div", { class: "bare" }, offlineBar(), h("div", { class: "bare-head" }, choices(changed)), h("main", { id: "main", tabindex: "-1" }, view)));
}

// What the frame that is shown does after such a choice.
let redrawAll = () => {};
/** Language and theme for a page inside the frame. */
export const ownChoices = () => choices(() => redrawAll());

/** Language and theme, as two menus. */
export function choices(changed) {
  const language = h("button", { type: "button", class: "quiet", "aria-label": t("choice.language") }, icon("globe", 18), h("span", { lang: currentLanguage() }, LANGUAGES[currentLanguage()]));
  const theme = iconButton({ light: "sun", dark: "moon" }[preferences.theme] ?? "half", t("choice.theme"));
  const pick = (value, label) => ({ label, current: preferences.theme === value, run: () => { preferences.theme = value; changed(); } });
  return h("div", { class: "choices" },
    menu(language, () => Object.entries(LANGUAGES).map(([key, label]) => ({ label, current: key === currentLanguage(), run: async () => { await setLanguage(key); changed(); } }))),
    menu(theme, () => [pick(null, t("choice.system")), pick("light", t("choice.light")), pick("dark", t("choice.dark"))]));
}

const sandbox = h("p", { class: "bar warn", role: "note" });
function sandboxBar() {
  replace(sandbox, icon("alert", 18), h("span", {}, t("bar.sandbox")));
  showDeployment();
  return sandbox;
}
/** What the deployment says about itself has become known. */
export function showDeployment() {
  sandbox.hidden = store.config?.features.sandboxed !== false;
}

// One bar however often the frame is drawn: it must not lose what it knows.
let reachable = true;
let checking = null;
const offline = h("div", { class: "bar bad", role: "status", hidden: true });
function offlineBar() {
  drawOffline();
  return offline;
}
function drawOffline() {
  const away = !navigator.onLine || !reachable;
  offline.hidden = !away;
  if (away) {
    replace(offline, icon("alert", 18), h("span", {}, t(navigator.onLine ? "bar.unreachable" : "bar.offline")), h("button", { type: "button", class: "quiet", onclick: () => ask() }, t("action.retry")));
    checking ??= setInterval(ask, 5000);
  } else {
    replace(offline);
    clearInterval(checking);
    checking = null;
  }
}
async function ask() {
  await account.ping();
}
onReach((now) => {
  const back = now && !reachable;
  reachable = now;
  drawOffline();
  // What failed to load meanwhile offers its own "try again"; the navigation repairs itself.
  if (back) redraw();
});
addEventListener("online", () => { drawOffline(); ask(); });
addEventListener("offline", drawOffline);

// Addresses to pages. A page is what its module's `page(context)` answers: `{view, title, leave?(), change?(context)}`.
import { account, session } from "./api.js";
import { h, replace, stylesheet } from "./dom.js";
import { loadArea, t } from "./i18n.js";
import { routes } from "./routes.js";
import { store } from "./store.js";
import { closeDialogs } from "../components/dialog.js";
import { failure, skeleton } from "../components/states.js";

let current = null;
let place = null;
let started = () => {};
let turn = 0;

/** Where pages are shown; `onStart(route)` is called when another page begins. */
export function startRouter(element, onStart) {
  place = element;
  started = onStart;
}

/** Goes to a path of the console. */
export function go(path, { replaced = false } = {}) {
  if (replaced) history.replaceState(null, "", path);
  else if (path !== location.pathname + location.search) history.pushState(null, "", path);
  return show();
}
addEventListener("popstate", () => show());

/** A link inside the console; opened in place unless the browser is asked for another tab. */
export function link(path, attributes = {}, ...children) {
  return h("a", { href: path, ...attributes, onclick: (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    attributes.onclick?.(event);
    go(path);
  } }, ...children);
}

/** A path's route and the values of its `:name` parts; null for an address that means nothing. */
export function match(pathname) {
  let parts;
  try { parts = pathname.split("/").filter(Boolean).map(decodeURIComponent); } catch { return null; }
  for (const route of routes) {
    const pattern = route.path.split("/").filter(Boolean);
    if (parts.length > pattern.length) continue;
    const params = {};
    const fits = pattern.every((piece, index) => {
      if (!piece.startsWith(":")) return piece === parts[index];
      if (parts[index] === undefined) return piece.endsWith("?");
      params[piece.replace(/[:?]/g, "")] = parts[index];
      return true;
    });
    if (fits) return { route, params };
  }
  return null;
}

export function setTitle(title) {
  document.title = title ? `${title} · ClawBot` : "ClawBot Cloud";
}

/** Ends the page that is shown, as when the session ends. */
export function leavePage() {
  turn++;
  closeDialogs();
  current?.stop.abort();
  current?.page?.leave?.();
  current = null;
}

/** Shows the page of the present address. `again`: from the beginning even if it is the same page (another language). */
export async function show({ again = false } = {}) {
  if (!session.signedIn) return;
  const found = match(location.pathname);
  const context = { params: found?.params ?? {}, query: new URLSearchParams(location.search), go, config: store.config };
  if (!again && current?.page?.change && current.route === found?.route) {
    closeDialogs();
    if (current.page.change({ ...context, signal: current.stop.signal })) { started(current.route); return; }
  }
  const first = current === null;
  leavePage();
  const mine = turn;
  const stop = new AbortController();
  current = { route: found?.route ?? null, page: null, stop };
  started(current.route);
  if (!found) return present({ view: notFound(), title: t("page.notFound") }, first);
  // A page that is already here appears at once; only a slow one shows that it is coming.
  const wait = setTimeout(() => { if (mine === turn) replace(place, skeleton("cards", 3)); }, 120);
  try {
    const [module] = await Promise.all([fetchPage(found.route), store.loadConfig().catch(() => null)]);
    if (mine !== turn) return;
    const page = module.page({ ...context, config: store.config, signal: stop.signal });
    current.page = page;
    present(page, first);
  } catch (error) {
    if (mine === turn) replace(place, failure(error, () => show({ again: true })));
  } finally {
    clearTimeout(wait);
  }
}

let failedImports = 0;

/** The module of a route or tab, with its texts and its style sheet. */
export async function fetchPage({ load, area, style }) {
  try {
    const [module] = await Promise.all([load(), loadArea(area), style && stylesheet(style)]);
    return module;
  } catch {
    // Some browsers remember that a module could not be fetched: when the server is there and it fails again, only a new start of the
    // page helps.
    const there = await account.ping();
    if (failedImports++ > 0 && there) location.reload();
    throw new Error(t("problem.unreachable"));
  }
}

function present(page, first) {
  replace(place, page.view);
  setTitle(page.title);
  if (first) return;
  place.scrollTop = 0;
  scrollTo(0, 0);
  focusHeading(place);
}

/** Where a screen reader goes on reading after the page has changed. */
export function focusHeading(root) {
  if (root.contains(document.activeElement) && document.activeElement !== root) return;
  const heading = root.querySelector("h1") ?? root;
  heading.setAttribute("tabindex", "-1");
  heading.focus({ preventScroll: true });
}

function notFound() {
  return h("div", { class: "empty" }, h("h1", {}, t("page.notFound")), h("p", {}, t("page.notFoundText")), link("/", { class: "button main" }, t("page.home")));
}

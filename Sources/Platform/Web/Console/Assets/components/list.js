// Lists of any length. Pages come by cursor as the end comes near; rows far from the window are taken out of the document and
// put back when they come near again, so that ten thousand cost what a few hundred do.
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { failure, skeleton } from "./states.js";

/** How far outside the window rows stay in the document. */
const MARGIN = "1600px 0px";

/**
 * Chunks of rows inside `root`'s scroller. `add(items, place)` makes a chunk "before" or "after" all others; a chunk that is far
 * away keeps its measured height and nothing else. `update(test, change)` replaces items and their rows. Chunks are elements of
 * `tag` ("div", or "ol" when rows are <li>) with the class `chunk`.
 */
export function windowed({ row, scroller = null, tag = "div", chunk: kind = "", attributes = {} }) {
  const element = h("div", attributes);
  const chunks = new Map();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const chunk = chunks.get(target);
      if (!chunk || isIntersecting === chunk.shown) continue;
      if (isIntersecting) fill(target, chunk);
      // What holds the focus or the selection stays.
      else if (!target.contains(document.activeElement) && !document.getSelection()?.containsNode(target, true)) {
        target.style.height = `${target.offsetHeight}px`;
        target.replaceChildren();
        chunk.shown = false;
      }
    }
  }, { root: scroller, rootMargin: MARGIN });
  // A chunk above the window that comes back may be higher or lower than it was measured (its pictures are loaded again): what is
  // in the window must not move.
  function fill(target, chunk) {
    const before = scroller && target.style.height ? target.offsetHeight : null;
    target.replaceChildren(...chunk.items.map(row));
    target.style.height = "";
    chunk.shown = true;
    if (before !== null && target.offsetTop + before < scroller.scrollTop) scroller.scrollTop += target.offsetHeight - before;
  }
  return {
    element,
    add(items, place = "after") {
      const target = h(tag, { class: `chunk ${kind}`, role: tag === "div" ? "presentation" : undefined });
      const chunk = { items, shown: false };
      chunks.set(target, chunk);
      fill(target, chunk);
      if (place === "after") element.append(target); else element.prepend(target);
      observer.observe(target);
    },
    /** Every item that `test` accepts becomes `change(item)`; null removes it. Answers how many there were. */
    update(test, change) {
      let count = 0;
      for (const [target, chunk] of chunks) {
        if (!chunk.items.some(test)) continue;
        chunk.items = chunk.items.flatMap((item) => {
          if (!test(item)) return [item];
          count++;
          const next = change(item);
          return next === null ? [] : [next];
        });
        if (chunk.shown) fill(target, chunk);
      }
      return count;
    },
    /** The row of the first item that `test` accepts, in the document; null when there is none. */
    reveal(test) {
      for (const [target, chunk] of chunks) {
        const index = chunk.items.findIndex(test);
        if (index < 0) continue;
        if (!chunk.shown) fill(target, chunk);
        return target.children[index];
      }
      return null;
    },
    get count() { return [...chunks.values()].reduce((sum, chunk) => sum + chunk.items.length, 0); },
    clear() { observer.disconnect(); chunks.clear(); element.replaceChildren(); },
  };
}

/**
 * A list that pages itself: `load(cursor, limit)` answers `{items, nextCursor}`, `row(item)` makes an element with
 * role="listitem" (a `<div>` gets it by itself). `nothing()` is shown when there is no item. `element.reload()` begins again;
 * `element.update(test, change)` as in `windowed`.
 */
export function pagedList({ load, row, nothing, label, limit = 50, scroller = null, placeholder = () => skeleton("rows", 5), attributes = {} }) {
  const make = (item) => {
    const element = row(item);
    if (!element.hasAttribute("role") && element.tagName === "DIV") element.setAttribute("role", "listitem");
    return element;
  };
  const list = windowed({ row: make, scroller, attributes: { role: "list", "aria-label": label, class: "rows", ...attributes } });
  const more = h("button", { type: "button", class: "quiet", onclick: () => next() }, t("action.more"));
  const foot = h("div", { class: "list-foot" });
  const element = h("div", { class: "paged" }, list.element, foot);
  let cursor = null;
  let running = false;
  let turn = 0;

  const near = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting) && more.isConnected) next(); }, { root: scroller, rootMargin: "600px 0px" });
  near.observe(foot);

  async function next() {
    if (running) return;
    running = true;
    const mine = turn;
    if (list.count) more.setAttribute("aria-busy", "true"); else foot.replaceChildren(placeholder());
    try {
      const page = await load(cursor, limit);
      if (mine !== turn) return;
      cursor = page.nextCursor ?? null;
      if (page.items.length) list.add(page.items);
      list.element.hidden = list.count === 0;
      if (cursor) foot.replaceChildren(more);
      else foot.replaceChildren(...(list.count ? [] : [nothing()]));
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      foot.replaceChildren(failure(error, () => next()));
    } finally {
      more.removeAttribute("aria-busy");
      if (mine === turn) running = false;
    }
    // A filtered page may be short: the end may still be in sight.
    if (mine === turn && cursor && more.isConnected && foot.getBoundingClientRect().top < innerHeight + 600) next();
  }
  element.reload = () => {
    turn++;
    running = false;
    cursor = null;
    list.clear();
    return next();
  };
  element.update = (test, change) => {
    const count = list.update(test, change);
    if (!list.count && !cursor) { list.element.hidden = true; foot.replaceChildren(nothing()); }
    return count;
  };
  element.items = list;
  next();
  return element;
}

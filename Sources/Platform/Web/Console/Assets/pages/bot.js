// A bot's page: its head and tabs. Each tab is a module of its own, listed in core/routes.js.
import { api, part } from "../core/api.js";
import { h, name, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { fetchPage, focusHeading, link, setTitle } from "../core/router.js";
import { botTabs } from "../core/routes.js";
import { store } from "../core/store.js";
import { avatar } from "../components/avatar.js";
import { empty, failure, skeleton, tag } from "../components/states.js";

/** How a bot's status is called and coloured. */
export function statusTag(bot) {
  return tag(t(`bot.status.${bot.status}`), { active: "good", paused: "warn" }[bot.status] ?? "");
}

export function page(context) {
  const botId = context.params.botId;
  const head = h("header", { class: "bothead" });
  const body = h("div", { class: "tabbody" }, skeleton("cards", 2));
  const view = h("div", { class: "stack botpage" }, head, body);
  let bot = null;
  let shown = null;
  let turn = 0;

  function drawHead() {
    const base = `/bots/${part(botId)}`;
    replace(head, h("h1", {}, avatar(bot), h("bdi", { class: "clip1" }, bot.name), bot.status !== "active" && statusTag(bot)),
      h("nav", { class: "tabs", "aria-label": t("bot.tabs") }, botTabs.map((one) => link(`${base}/${one.key}`, { "aria-current": one.key === shown?.key ? "page" : undefined }, t(one.label)))));
    const current = head.querySelector("[aria-current]");
    if (current) current.parentElement.scrollLeft = current.offsetLeft - 48;
  }

  async function open(params, { query, first = false } = {}) {
    const mine = ++turn;
    const key = params.tab ?? botTabs[0].key;
    const one = botTabs.find((candidate) => candidate.key === key);
    shown?.content?.leave?.();
    shown?.stop.abort();
    const stop = new AbortController();
    context.signal.addEventListener("abort", () => stop.abort());
    shown = { key, stop, content: null };
    try {
      bot ??= await api.get(`/api/bots/${part(botId)}`, { signal: context.signal });
      if (mine !== turn) return;
      drawHead();
      if (!one) return void replace(body, empty("search", t("page.notFound"), t("page.notFoundText")));
      setTitle(`${name(bot.name)} – ${t(one.label)}`);
      const wait = setTimeout(() => { if (mine === turn) replace(body, skeleton("cards", 2)); }, 120);
      const module = await fetchPage(one).finally(() => clearTimeout(wait));
      if (mine !== turn) return;
      const content = module.tab({ ...context, params, query: query ?? context.query, bot, signal: stop.signal, reload: () => reload(params) });
      shown.content = content;
      view.className = `stack botpage tab-${key}`;
      replace(body, content.view);
      if (!first) focusHeading(view);
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      if (error.status === 404 && !bot) return void replace(body, empty("bot", t("bot.gone"), t("bot.goneText"), link("/", { class: "button" }, t("page.home"))));
      replace(body, failure(error, () => open(params, { query })));
    }
  }
  // The bot has changed: everything that shows it is drawn again.
  function reload(params) {
    bot = null;
    store.changed();
    return open(params);
  }
  open(context.params, { first: true });

  return {
    view,
    title: "",
    change(next) {
      if (next.params.botId !== botId) return false;
      if (bot && shown?.content?.change?.(next)) { setTitle(`${name(bot.name)} – ${t(botTabs.find((one) => one.key === shown.key).label)}`); return true; }
      open(next.params, { query: next.query });
      return true;
    },
    leave() {
      turn++;
      shown?.content?.leave?.();
      shown?.stop.abort();
    },
  };
}

// Every page of the console, one line each. How to add one: docs/console.md.

/**
 * `path` with `:name` parts (`:name?` may be absent); `area` names the page's catalogue (`catalogues/{language}-{area}.js`);
 * `load` imports its module, which exports `page(context)`. `nav` puts it into the navigation: `{label, glyph, group}`, where
 * group is "main", "settings" or "admin" (administrators only); `phone` also into the bar at the bottom of a phone. `style` is a
 * style sheet that only this page needs.
 */
export const routes = [
  { path: "/", area: "home", load: () => import("../pages/dashboard.js"), nav: { label: "nav.home", glyph: "home", group: "main", phone: true } },
  { path: "/bots/new", area: "home", load: () => import("../pages/newbot.js") },
  { path: "/bots/:botId/:tab?/:item?/:detail?", area: "bot", load: () => import("../pages/bot.js") },
  { path: "/memory", area: null, load: () => import("../pages/shared-memory.js"), nav: { label: "nav.memory", glyph: "book", group: "main", phone: true } },
  { path: "/account", area: null, load: () => import("../pages/account.js"), nav: { label: "nav.account", glyph: "user", group: "settings", phone: true } },
];

/**
 * The tabs of a bot's page. Each module exports `tab(context)`, where `context.bot` is the bot and `context.reload()` reads it
 * again; the rest is as for a page.
 */
export const botTabs = [
  { key: "overview", label: "bot.tab.overview", area: "bot", load: () => import("../pages/bot-overview.js") },
  { key: "chat", label: "bot.tab.chat", area: "chat", style: "/style/chat.css", load: () => import("../pages/bot-chat.js") },
  { key: "conversations", label: "bot.tab.conversations", area: "chat", style: "/style/chat.css", load: () => import("../pages/bot-conversations.js") },
  { key: "channels", label: "bot.tab.channels", area: null, load: () => import("../pages/bot-channels.js") },
  { key: "tasks", label: "bot.tab.tasks", area: null, load: () => import("../pages/bot-tasks.js") },
  { key: "memory", label: "bot.tab.memory", area: null, load: () => import("../pages/bot-memory.js") },
  { key: "settings", label: "bot.tab.settings", area: null, load: () => import("../pages/bot-settings.js") },
];

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
  { path: "/memory", area: "memory", style: "/style/manage.css", load: () => import("../pages/shared-memory.js"), nav: { label: "nav.memory", glyph: "book", group: "main", phone: true } },
  { path: "/usage", area: "account", style: "/style/manage.css", load: () => import("../pages/usage.js"), nav: { label: "nav.usage", glyph: "gauge", group: "main" } },
  { path: "/account", area: "account", style: "/style/manage.css", load: () => import("../pages/account.js"), nav: { label: "nav.account", glyph: "user", group: "settings", phone: true } },
  { path: "/proxy-rules", area: "platform", style: "/style/manage.css", load: () => import("../pages/proxy-rules.js"), nav: { label: "nav.proxyRules", glyph: "key", group: "settings" } },
  { path: "/admin/users", area: "admin", style: "/style/manage.css", load: () => import("../pages/admin-users.js"), nav: { label: "nav.adminUsers", glyph: "user", group: "admin" } },
  { path: "/admin/users/:userId", area: "admin", style: "/style/manage.css", load: () => import("../pages/admin-user.js") },
  { path: "/admin/providers", area: "platform", style: "/style/manage.css", load: () => import("../pages/providers.js"), nav: { label: "nav.adminProviders", glyph: "bolt", group: "admin" } },
  { path: "/admin/mcp-servers", area: "mcp", style: "/style/manage.css", load: () => import("../pages/mcp-library.js"), nav: { label: "nav.adminServers", glyph: "link", group: "admin" } },
  { path: "/admin/skills", area: "skills", style: "/style/manage.css", load: () => import("../pages/skill-library.js"), nav: { label: "nav.adminSkills", glyph: "book", group: "admin" } },
  { path: "/admin/plans", area: "admin", style: "/style/manage.css", load: () => import("../pages/admin-plans.js"), nav: { label: "nav.adminPlans", glyph: "settings", group: "admin" } },
  { path: "/admin/usage", area: "admin", style: "/style/manage.css", load: () => import("../pages/admin-usage.js"), nav: { label: "nav.adminUsage", glyph: "gauge", group: "admin" } },
  { path: "/admin/dead-letters", area: "admin", style: "/style/manage.css", load: () => import("../pages/dead-letters.js"), nav: { label: "nav.adminLetters", glyph: "inbox", group: "admin" } },
  { path: "/admin/audit", area: "admin", style: "/style/manage.css", load: () => import("../pages/audit.js"), nav: { label: "nav.adminAudit", glyph: "shield", group: "admin" } },
];

/**
 * The tabs of a bot's page. Each module exports `tab(context)`, where `context.bot` is the bot and `context.reload()` reads it
 * again; the rest is as for a page.
 */
export const botTabs = [
  { key: "overview", label: "bot.tab.overview", area: "bot", load: () => import("../pages/bot-overview.js") },
  { key: "chat", label: "bot.tab.chat", area: "chat", style: "/style/chat.css", load: () => import("../pages/bot-chat.js") },
  { key: "conversations", label: "bot.tab.conversations", area: "chat", style: "/style/chat.css", load: () => import("../pages/bot-conversations.js") },
  { key: "channels", label: "bot.tab.channels", area: "channels", style: "/style/manage.css", load: () => import("../pages/bot-channels.js") },
  { key: "tasks", label: "bot.tab.tasks", area: "tasks", style: "/style/manage.css", load: () => import("../pages/bot-tasks.js") },
  { key: "memory", label: "bot.tab.memory", area: "memory", style: "/style/manage.css", load: () => import("../pages/bot-memory.js") },
  { key: "files", label: "bot.tab.files", area: "files", style: "/style/manage.css", load: () => import("../pages/bot-files.js") },
  { key: "settings", label: "bot.tab.settings", area: "settings", style: "/style/manage.css", load: () => import("../pages/bot-settings.js") },
];

// What the console knows of each kind of channel: which credentials and settings it has, how its guide goes. A kind that a
// deployment offers and that is not here is shown by its name, without a guide.

const secret = (name, more = {}) => ({ name, secret: true, ...more });
const plain = (name, more = {}) => ({ name, secret: false, ...more });
const mode = (...values) => ({ name: "connectionMode", kind: "choice", values, automatic: true });
const flag = (name, standard = false) => ({ name, kind: "flag", standard });

/** Settings that every channel but the console's own has. */
const SHARED = [flag("storeContext", true), flag("sessionPerThread"), { name: "streaming", kind: "choice", values: ["off", "final-edit"], standard: "off" }];

/**
 * `steps`: how many steps the guide has (`channels.step.{type}-{n}`, `channels.stepText.{type}-{n}`); `portal`: where they begin;
 * `credentials` and `config` as API.md §3.4; `chat(account)`: where a person says hello.
 */
export const kinds = {
  telegram: {
    glyph: "send", steps: 3, portal: "https://t.me/BotFather",
    credentials: [secret("botToken", { placeholder: "123456789:AAF…" })],
    config: [mode("webhook", "polling"), flag("rich"), ...SHARED],
    chat: (account) => `https://t.me/${account}`,
  },
  discord: { glyph: "chat", steps: 3, portal: "https://discord.com/developers/applications", credentials: [secret("botToken"), plain("publicKey", { optional: true })], config: SHARED },
  slack: {
    glyph: "chat", steps: 3, portal: "https://api.slack.com/apps",
    credentials: [secret("botToken", { placeholder: "xoxb-…" }), secret("appToken", { optional: true, placeholder: "xapp-…" }), secret("signingSecret", { optional: true })],
    config: [mode("websocket", "webhook"), flag("followThreads"), flag("replyInThread", true), flag("markdownBlocks"), ...SHARED],
  },
  whatsapp: {
    glyph: "chat", steps: 3, portal: "https://developers.facebook.com/apps",
    credentials: [secret("accessToken"), plain("phoneNumberId"), secret("appSecret"), secret("verifyToken", { optional: true }), plain("wabaId", { optional: true })], config: SHARED,
  },
  feishu: {
    glyph: "chat", steps: 3, portal: "https://open.feishu.cn/app",
    credentials: [plain("appId", { placeholder: "cli_…" }), secret("appSecret"), secret("encryptKey", { optional: true }), secret("verificationToken", { optional: true })],
    config: [{ name: "domain", kind: "choice", values: ["feishu", "lark"], standard: "feishu" }, mode("websocket", "webhook"), flag("triggerOnMedia"), ...SHARED],
  },
  dingtalk: {
    glyph: "chat", steps: 3, portal: "https://open-dev.dingtalk.com",
    credentials: [plain("clientId"), secret("clientSecret")], config: [{ name: "robotCode", kind: "text" }, ...SHARED],
  },
  web: { glyph: "globe", steps: 0, credentials: [], config: [], builtin: true },
};

export const kindOf = (type) => kinds[type] ?? { glyph: "link", steps: 0, credentials: [], config: [] };

// Connecting a channel, step by step, for somebody who has never done it.
import { api } from "../core/api.js";
import { h, randomId } from "../core/dom.js";
import { has, rich, t } from "../core/i18n.js";
import { form } from "../components/form.js";
import { icon } from "../components/icon.js";
import { credentialFields } from "./channel-fields.js";
import { channelName } from "./channel.js";
import { kindOf } from "./channel-kinds.js";

const outside = (href, label) => h("a", { href, target: "_blank", rel: "noopener noreferrer" }, label);

/** The guide of a type; `connected(channel)` is told what the server answered. */
export function guide({ type, base, connected }) {
  const kind = kindOf(type);
  const fields = credentialFields(kind);
  // The same key for every try with the same credentials: a lost answer does not count as "connected already".
  let key = randomId();
  for (const box of fields.boxes) box.input.addEventListener("input", () => { key = randomId(); });
  const values = {
    portal: kind.portal && outside(kind.portal, type === "telegram" ? "@BotFather" : new URL(kind.portal).hostname),
    newbot: h("code", {}, "/newbot"), bot: h("code", {}, "bot"), token: h("code", {}, "123456789:AAF…"),
  };
  const steps = Array.from({ length: kind.steps }, (_, index) => `${type}-${index + 1}`);
  const submit = form({
    children: fields.boxes, label: t("channels.connect"),
    submit: async () => {
      const channel = await api.post(base, { channelType: type, credentials: fields.value() }, { headers: { "Idempotency-Key": key } });
      fields.clear();
      connected(channel);
    },
  });
  // What the provider refuses is about the first field: the token.
  submit.addEventListener("submit", () => { for (const box of fields.boxes) box.input.value = box.input.value.trim(); }, true);
  return h("div", { class: "stack" },
    h("ol", { class: "guide" },
      steps.map((step) => h("li", {}, h("h3", {}, t(`channels.step.${step}`)), h("p", {}, rich(`channels.stepText.${step}`, values)))),
      h("li", {}, h("h3", {}, t("channels.paste", { name: channelName(type) })), h("p", {}, t("channels.pasteText")), submit)),
    has(`channels.more.${type}-1`) && h("div", { class: "asides" }, [1, 2].map((index) => h("details", {}, h("summary", {}, t(`channels.more.${type}-${index}`)), h("p", { class: "hint" }, t(`channels.moreText.${type}-${index}`))))));
}

/** What to do after connecting: the server's instructions, for Telegram also in the console's other languages. */
export function nextSteps(channel) {
  const given = channel.setupInstructions ?? [];
  const kind = kindOf(channel.channelType);
  const account = channel.accountName;
  if (channel.channelType !== "telegram" || !account) return given.map((text) => h("li", {}, text));
  const values = { account: `@${account}`, link: outside(kind.chat(account), `t.me/${account}`) };
  const steps = ["hello", given.some((text) => text.includes("/setjoingroups")) ? "join" : "group"];
  if (given.some((text) => text.includes("/setprivacy"))) steps.push("privacy");
  return steps.map((step) => h("li", {}, rich(`channels.after.${step}`, values)));
}

export function sayHello(channel) {
  const kind = kindOf(channel.channelType);
  return kind.chat && channel.accountName && h("a", { class: "button main", href: kind.chat(channel.accountName), target: "_blank", rel: "noopener noreferrer" }, icon("send", 18), t("channels.hello"));
}

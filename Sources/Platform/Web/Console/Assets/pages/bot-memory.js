// The memories of a bot: its own, and one of every conversation.
import { all, part } from "../core/api.js";
import { h, name, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { field, options } from "../components/form.js";
import { icon } from "../components/icon.js";
import { channelName, groupName } from "./channel.js";
import { memory } from "./memory-editor.js";

/** The address may name the conversation: `/bots/{botId}/memory/{groupJid}`. */
export function tab({ bot, params, go, signal }) {
  const base = `/api/bots/${part(bot.botId)}`;
  const here = `/bots/${part(bot.botId)}/memory`;
  const place = h("div");
  const choice = field(t("memory.of"), options(h("select"), [["", t("memory.everywhere")]]));
  const label = (group) => `${channelName(group.channelType)}: ${name(groupName(group))}`;
  let open = null;

  choice.input.addEventListener("change", () => go(choice.input.value ? `${here}/${part(choice.input.value)}` : here));
  function show(jid) {
    if (open === jid) return;
    open = jid;
    choose();
    replace(place, jid ? memory(`${base}/groups/${part(jid)}/memory`, t("memory.aboutGroup", { name: name(bot.name) }), { signal }) : memory(`${base}/memory`, t("memory.aboutBot", { name: name(bot.name) }), { signal }));
  }
  // What the address names is in the list even before, or without, the list.
  function choose() {
    if (open && ![...choice.input.options].some((option) => option.value === open)) choice.input.append(h("option", { value: open }, open));
    choice.input.value = open ?? "";
  }
  all(`${base}/groups`, { signal }).then((groups) => {
    options(choice.input, [["", t("memory.everywhere")], ...groups.map((group) => [group.groupJid, label(group)])]);
    choose();
  }, (error) => { if (error.name !== "AbortError") choice.fail(error.message); });
  show(params.item ?? "");

  return {
    view: h("div", { class: "stack" }, h("div", { class: "row spread bottom" }, h("div", { class: "chooser" }, choice), link("/memory", { class: "button quiet" }, icon("book", 18), h("span", {}, t("nav.memory")))), place),
    change(next) {
      if (next.params.tab !== "memory") return false;
      show(next.params.item ?? "");
      return true;
    },
  };
}

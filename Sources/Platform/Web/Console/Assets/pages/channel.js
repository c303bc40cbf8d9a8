// How channels are called and how their health looks, wherever one is named.
import { has, t } from "../core/i18n.js";
import { tag } from "../components/states.js";

export function channelName(type) {
  return has(`channel.${type}`) ? t(`channel.${type}`) : type;
}

/** "good", "warn" or "bad": a channel's status and health as one colour. */
export function channelTone(channel) {
  if (channel.healthStatus === "unhealthy" || ["error", "disconnected"].includes(channel.status)) return "bad";
  return channel.status === "pending_webhook" ? "warn" : "good";
}

export function channelTag(channel) {
  const tone = channelTone(channel);
  return tag(tone === "good" ? channelName(channel.channelType) : `${channelName(channel.channelType)} · ${t(`channel.tone.${tone}`)}`, tone);
}

/** A group's name for people: what the channel calls it, else its id without the prefix. */
export function groupName(group) {
  if (group.groupJid === "web:main" && ["main", "", undefined].includes(group.name)) return t("channel.mainConversation");
  return group.name || group.groupJid.replace(/^[a-z]+[:#]/, "");
}

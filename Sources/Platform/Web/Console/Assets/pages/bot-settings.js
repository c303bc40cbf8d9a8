// What a bot is and may do, one section at a time: `/bots/{botId}/settings/{section}`.
import { api, part } from "../core/api.js";
import { h, name as shown, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { link } from "../core/router.js";
import { store } from "../core/store.js";
import { actButton } from "../components/act.js";
import { confirmDialog } from "../components/dialog.js";
import { check, field, form, options } from "../components/form.js";
import { empty } from "../components/states.js";
import { toast } from "../components/toast.js";
import { zoneField } from "../components/zone.js";
import { activity } from "./settings-activity.js";
import { modelSection } from "./settings-model.js";
import { networkSection } from "./settings-network.js";
import { serversSection } from "./settings-servers.js";
import { skillsSection } from "./settings-skills.js";
import { toolsSection } from "./settings-tools.js";

const SECTIONS = { general: generalSection, model: modelSection, network: networkSection, tools: toolsSection, servers: serversSection, skills: skillsSection, activity, manage: manageSection };

export function tab({ bot, params, go, reload, signal }) {
  const base = `/bots/${part(bot.botId)}/settings`;
  const place = h("div", { class: "grow section-body" });
  const nav = h("nav", { class: "sections", "aria-label": t("settings.sections") });
  const context = { bot, go, reload, signal, path: `/api/bots/${part(bot.botId)}`, save };

  function show(section) {
    // Where a reload of the bot comes back to.
    params.item = section;
    replace(nav, Object.keys(SECTIONS).map((key) => link(`${base}/${key}`, { "aria-current": key === section ? "page" : undefined }, t(`settings.section.${key}`))));
    replace(place, SECTIONS[section] ? SECTIONS[section](context) : empty("search", t("page.notFound"), t("page.notFoundText")));
    const current = nav.querySelector("[aria-current]");
    if (current) nav.scrollLeft = current.offsetLeft - 24;
  }

  /** Sends the fields that are not what the bot has; the answer is what every section goes on from. */
  async function save(values) {
    const changes = Object.fromEntries(Object.entries(values).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(bot[key] ?? null)));
    if (Object.keys(changes).length === 0) { toast(t("state.nothingNew"), "info"); return; }
    const next = await api.put(context.path, changes);
    const renamed = next.name !== bot.name;
    for (const key of Object.keys(bot)) delete bot[key];
    Object.assign(bot, next);
    toast(t("state.saved"));
    if (renamed) await reload(); else store.changed();
  }
  show(params.item ?? "general");

  return {
    view: h("div", { class: "settings" }, nav, place),
    change(next) {
      if (next.params.tab !== "settings") return false;
      show(next.params.item ?? "general");
      place.querySelector("h2")?.setAttribute("tabindex", "-1");
      place.querySelector("h2")?.focus({ preventScroll: true });
      return true;
    },
  };
}

function generalSection({ bot, save }) {
  const name = field(t("settings.name"), h("input", { value: bot.name, required: true, maxlength: 100, autocomplete: "off" }), { name: "name" });
  const about = field(t("settings.description"), h("input", { value: bot.description ?? "", maxlength: 500 }), { name: "description", optional: true });
  const prompt = field(t("settings.instructions"), h("textarea", { rows: 10, maxlength: 10000, value: bot.systemPrompt ?? "", dir: "auto" }), { hint: t("settings.instructionsHint"), name: "systemPrompt", optional: true });
  const trigger = field(t("settings.trigger"), h("input", { value: bot.triggerPattern, maxlength: 100, autocomplete: "off" }), { hint: t("settings.triggerHint"), name: "triggerPattern" });
  const zone = zoneField(t("settings.zone"), bot.timezone);
  const during = field(t("settings.during"), options(h("select"), [["queue", t("settings.during.queue")], ["steer", t("settings.during.steer")]], bot.duringRun), { hint: t("settings.duringHint"), name: "duringRun" });
  const groups = check(t("settings.groupsWrite"), { checked: bot.memoryOpenToGroups, hint: t("settings.groupsWriteHint"), name: "memoryOpenToGroups" });
  const text = (box) => (box.input.value.trim() === "" ? null : box.input.value);
  return h("section", { class: "card stack" }, h("h2", {}, t("settings.section.general")), form({
    children: [name, about, prompt, trigger, zone, during, groups], label: t("action.save"),
    submit: () => save({
      name: name.input.value.trim(), description: text(about), systemPrompt: text(prompt), triggerPattern: text(trigger), timezone: zone.input.value.trim(),
      duringRun: during.input.value, memoryOpenToGroups: groups.input.checked,
    }),
  }));
}

function manageSection({ bot, path, go, reload }) {
  const paused = bot.status === "paused";
  const toggle = actButton(t(paused ? "settings.activate" : "settings.pause"), async () => {
    await api.put(path, { status: paused ? "active" : "paused" });
    toast(t(paused ? "settings.activated" : "settings.paused"));
    await reload();
  });
  const remove = h("button", { type: "button", class: "danger", onclick: async () => {
    const done = await confirmDialog({
      title: t("settings.deleteTitle", { name: shown(bot.name) }), text: t("settings.deleteText"), action: t("settings.delete"), danger: true, type: shown(bot.name),
      work: () => api.remove(path).catch((error) => { if (error.status !== 404) throw error; }),
    });
    if (!done) return;
    store.changed();
    toast(t("settings.deleted"));
    go("/");
  } }, h("span", {}, t("settings.delete")));
  return h("div", { class: "stack" },
    bot.status !== "created" && h("section", { class: "card stack" }, h("h2", {}, t(paused ? "settings.activate" : "settings.pause")), h("p", { class: "hint" }, t("settings.pauseText")), h("div", { class: "actions" }, toggle)),
    h("section", { class: "card stack" }, h("h2", {}, t("settings.delete")), h("p", { class: "hint" }, t("settings.deleteText")), h("div", { class: "actions" }, remove)));
}

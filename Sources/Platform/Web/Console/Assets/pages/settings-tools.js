// Which tools and skills a bot may use.
import { api } from "../core/api.js";
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { check, field, form } from "../components/form.js";
import { loading, skeleton } from "../components/states.js";

export function toolsSection({ bot, save, signal }) {
  return loading(() => api.get("/api/bots/available-tools", { signal }), (known) => draw(bot, save, known), { placeholder: () => h("div", { class: "card" }, skeleton("lines", 6)) });
}

function draw(bot, save, known) {
  const list = bot.toolWhitelist;
  const tools = part(t("settings.restrictTools"), t("settings.restrictToolsHint"), list.mcpToolsEnabled, known.mcpTools, list.allowedMcpTools, "toolWhitelist.allowedMcpTools", t("settings.moreTools"), "mcp__weather__*");
  const skills = part(t("settings.restrictSkills"), t("settings.restrictSkillsHint"), list.skillsEnabled, known.skills, list.allowedSkills, "toolWhitelist.allowedSkills", t("settings.moreSkills"), "");
  return h("section", { class: "card stack" }, h("h2", {}, t("settings.section.tools")), h("p", { class: "hint" }, t("settings.toolsText")), form({
    children: [tools.view, skills.view], label: t("action.save"),
    submit: () => save({ toolWhitelist: { mcpToolsEnabled: tools.on(), skillsEnabled: skills.on(), allowedMcpTools: tools.names(), allowedSkills: skills.names() } }),
  }));
}

// A switch, a box for everything known, and lines for what is not known here.
function part(label, hint, on, known, allowed, name, moreLabel, placeholder) {
  const restrict = check(label, { checked: on, hint });
  const others = allowed.filter((one) => !known.some((tool) => tool.name === one));
  const boxes = known.map((tool) => ({ name: tool.name, box: check(tool.name, { checked: allowed.includes(tool.name), hint: tool.description }) }));
  const more = field(moreLabel, h("textarea", { rows: 3, class: "paper", spellcheck: "false", autocapitalize: "off", placeholder, value: others.join("\n") }), { name, optional: true, hint: t("settings.onePerLine") });
  const choice = h("div", { class: "stack tools-choice" }, boxes.map(({ box }) => box), more);
  const show = () => { choice.hidden = !restrict.input.checked; };
  restrict.input.addEventListener("input", show);
  show();
  return {
    view: h("div", { class: "stack" }, restrict, choice),
    on: () => restrict.input.checked,
    names: () => [...new Set([...boxes.filter(({ box }) => box.input.checked).map((one) => one.name), ...more.input.value.split(/\s+/).filter(Boolean)])],
  };
}

// The skills of the library that a bot has.
import { all, api } from "../core/api.js";
import { h, name as shown } from "../core/dom.js";
import { loadArea, t } from "../core/i18n.js";
import { icon } from "../components/icon.js";
import { empty, loading, skeleton } from "../components/states.js";
import { toggle } from "../components/switch.js";

export function skillsSection({ bot, path, signal }) {
  const base = `${path}/skills`;
  const load = async () => (await Promise.all([all(base, { signal }), loadArea("skills")]))[0];
  const place = loading(load, draw, { placeholder: () => h("div", { class: "card" }, skeleton("lines", 6)) });

  function draw(skills) {
    return h("section", { class: "card stack" }, h("h2", {}, t("skills.title")), h("p", { class: "hint" }, t("skills.about")),
      skills.length ? h("ul", { class: "plain-list" }, skills.map((one) => row(one, skills))) : empty("book", t("skills.noneHere"), t("skills.noneHereText")));
  }

  function row(skill, skills) {
    const name = shown(skill.name);
    const turn = async (on) => {
      await api.put(base, { skills: skills.filter((other) => (other === skill ? on : other.enabled)).map((other) => other.skillId) });
      await place.reload();
      document.querySelector(`[data-skill="${CSS.escape(skill.skillId)}"] input[role="switch"]`)?.focus();
    };
    const { skillsEnabled, allowedSkills } = bot.toolWhitelist;
    const left = skillsEnabled ? skill.directories.filter((one) => !allowedSkills.includes(one)) : [];
    return h("li", { class: "server", "data-skill": skill.skillId },
      h("div", { class: "row top" }, h("div", { class: "grow" }, h("h3", {}, h("bdi", { class: "wrap" }, name)),
        skill.description && h("p", { class: "hint wrap", dir: "auto" }, skill.description),
        h("p", { class: "hint wrap" }, skill.directories.map((one, index) => [index > 0 && ", ", h("code", {}, one)]), ` · ${skill.version}`)), toggle(t("skills.use", { name }), skill.enabled, turn)),
      skill.enabled && left.length > 0 && h("p", { class: "note warn" }, icon("alert", 18), h("span", {}, t("skills.notListed", { names: left.join(", ") }))));
  }
  return place;
}

// Where a message is written: text, files, and the commands that begin with a slash.
import { h, replace } from "../core/dom.js";
import { bytes, t } from "../core/i18n.js";
import { icon } from "../components/icon.js";
import { chosenFile } from "../components/message.js";
import { toast } from "../components/toast.js";

const COMMANDS = ["help", "status", "stop", "clear", "context", "compact"];
const MOST_FILES = 10;
/** What was typed and not sent yet, by conversation, for as long as the page is open. */
const typed = new Map();

/** `send({content, files})` when something is submitted; `stop(button)` for the button that is there while the bot works. */
export function compose({ bot, conversation, limits, send, stop }) {
  const place = `${bot.botId}/${conversation}`;
  const largest = limits?.maxAttachmentBytes ?? 20 * 1048576;
  let files = [];

  const chosen = h("ul", { class: "files", "aria-label": t("chat.files") });
  const commands = h("div", { class: "commands", hidden: true, role: "group", "aria-label": t("chat.commands") });
  const text = h("textarea", { rows: 1, placeholder: t("chat.placeholder", { name: bot.name }), "aria-label": t("chat.message"), maxlength: limits?.maxChatChars ?? 32000, dir: "auto", value: typed.get(place) ?? "" });
  const pick = h("input", { type: "file", multiple: true, hidden: true, "aria-label": t("chat.attach"), onchange: () => { choose([...pick.files]); pick.value = ""; } });
  const halt = h("button", { type: "button", class: "round", hidden: true, "aria-label": t("chat.stop"), title: t("chat.stop"), onclick: () => stop(halt) }, icon("stop"));
  const submit = h("button", { type: "submit", class: "main round", "aria-label": t("chat.send"), title: t("chat.send") }, icon("send"));
  const element = h("form", { class: "compose" }, commands, chosen,
    h("div", { class: "compose-row" },
      h("button", { type: "button", class: "icon-button", "aria-label": t("chat.attach"), title: t("chat.attach"), onclick: () => pick.click() }, icon("clip")),
      pick, text, halt, submit),
    h("p", { class: "hint" }, t("chat.hint")));

  text.addEventListener("input", () => { typed.set(place, text.value); grow(); suggest(); });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); element.requestSubmit(); }
    if (event.key === "ArrowDown" && !commands.hidden) { event.preventDefault(); commands.firstChild.focus(); }
    if (event.key === "Escape" && !commands.hidden) commands.hidden = true;
  });
  text.addEventListener("paste", (event) => { if (event.clipboardData.files.length) { event.preventDefault(); choose([...event.clipboardData.files]); } });
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    const content = text.value;
    if (!content.trim() && !files.length) return;
    const taken = files;
    text.value = "";
    typed.delete(place);
    files = [];
    commands.hidden = true;
    showFiles();
    grow();
    send({ content, files: taken });
  });

  function grow() {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, 200)}px`;
  }
  // "/st" offers /status and /stop: by click, or with the arrow down and Enter.
  function suggest() {
    const start = text.value.match(/^\/(\w*)$/)?.[1];
    const fitting = start === undefined ? [] : COMMANDS.filter((name) => name.startsWith(start.toLowerCase()) && name !== start);
    commands.hidden = fitting.length === 0;
    replace(commands, fitting.map((name) => h("button", { type: "button", onclick: () => { text.value = `/${name}`; typed.set(place, text.value); commands.hidden = true; text.focus(); } }, h("code", {}, `/${name}`), h("span", { class: "hint" }, t(`chat.command.${name}`)))));
  }
  commands.addEventListener("keydown", (event) => {
    const all = [...commands.children];
    const at = all.indexOf(document.activeElement);
    if (event.key === "ArrowDown") { event.preventDefault(); all[Math.min(at + 1, all.length - 1)].focus(); }
    if (event.key === "ArrowUp") { event.preventDefault(); (all[at - 1] ?? text).focus(); }
    if (event.key === "Escape") { commands.hidden = true; text.focus(); }
  });

  function choose(list) {
    for (const file of list) {
      if (files.length >= MOST_FILES) { toast(t("chat.tooMany", { count: MOST_FILES }), "bad"); break; }
      if (file.size > largest) { toast(t("chat.tooLarge", { name: file.name, size: bytes(largest) }), "bad"); continue; }
      files.push(file);
    }
    showFiles();
    text.focus();
  }
  function showFiles() {
    replace(chosen, files.map((file, index) => chosenFile(file, () => { files.splice(index, 1); showFiles(); text.focus(); })));
  }
  queueMicrotask(grow);

  return {
    element,
    /** Files that were dropped on the page. */
    choose,
    focus() { text.focus(); },
    working(on) { halt.hidden = !on; },
  };
}

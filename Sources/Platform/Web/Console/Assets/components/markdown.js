// CommonMark's everyday part and tables, straight to DOM nodes. Raw HTML stays visible text; links are http, https or mailto;
// remote images are shown as links and never loaded (SEC-98).
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";

const FENCE = /^(\s{0,3})(`{3,}|~{3,})\s*([^`]*)$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;

export function markdown(source) {
  const root = document.createDocumentFragment();
  blocks(source.replace(/\r\n?/g, "\n").split("\n"), root, 0);
  return root;
}

function blocks(lines, parent, depth) {
  let i = 0;
  while (i < lines.length) {
    const line = lines[i];
    if (!line.trim()) { i++; continue; }
    const fence = line.match(FENCE);
    if (fence) {
      const body = [];
      i++;
      while (i < lines.length && !(lines[i].trim().startsWith(fence[2]) && !lines[i].trim().slice(fence[2].length).replaceAll(fence[2][0], "").trim())) body.push(lines[i++]);
      i++;
      parent.append(code(body.join("\n"), fence[3].trim().split(/\s+/)[0]));
      continue;
    }
    const heading = line.match(/^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$/);
    if (heading) {
      const level = Math.min(6, heading[1].length + 2);
      parent.append(inline(heading[2], h(`h${level}`)));
      i++;
      continue;
    }
    if (/^\s{0,3}([-*_])(\s*\1){2,}\s*$/.test(line)) { parent.append(h("hr")); i++; continue; }
    if (/^\s{0,3}>/.test(line)) {
      const inner = [];
      while (i < lines.length && /^\s{0,3}>/.test(lines[i])) inner.push(lines[i++].replace(/^\s{0,3}> ?/, ""));
      const quote = h("blockquote");
      depth < 8 ? blocks(inner, quote, depth + 1) : quote.append(inner.join("\n"));
      parent.append(quote);
      continue;
    }
    if (ITEM.test(line)) { i = list(lines, i, parent, depth); continue; }
    if (line.includes("|") && i + 1 < lines.length && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(lines[i + 1]) && lines[i + 1].includes("-")) {
      i = table(lines, i, parent);
      continue;
    }
    const text = [];
    while (i < lines.length && lines[i].trim() && !(text.length && starts(lines[i]))) text.push(lines[i++]);
    parent.append(inline(text.join("\n"), h("p")));
  }
}

const starts = (line) => FENCE.test(line) || /^\s{0,3}(#{1,6}\s|>)/.test(line) || ITEM.test(line);

function list(lines, start, parent, depth) {
  const first = lines[start].match(ITEM);
  const ordered = /\d/.test(first[2]);
  const base = first[1].length;
  const element = h(ordered ? "ol" : "ul", ordered && parseInt(first[2], 10) !== 1 ? { start: parseInt(first[2], 10) } : {});
  let i = start;
  while (i < lines.length) {
    const item = lines[i].match(ITEM);
    if (!item || item[1].length < base || item[1].length > base + 3 || /\d/.test(item[2]) !== ordered) break;
    const indent = item[0].length - item[3].length;
    const inner = [item[3]];
    i++;
    while (i < lines.length) {
      const next = lines[i];
      const lead = next.length - next.trimStart().length;
      if (!next.trim()) {
        if (i + 1 < lines.length && lines[i + 1].trim() && lines[i + 1].length - lines[i + 1].trimStart().length >= base + 2) { inner.push(""); i++; continue; }
        break;
      }
      if (lead >= base + 2) { inner.push(next.slice(Math.min(indent, lead))); i++; continue; }
      if (ITEM.test(next) || starts(next)) break;
      inner.push(next.trim());
      i++;
    }
    const box = h("li");
    const task = inner[0].match(/^\[([ xX])\]\s+(.*)$/);
    if (task) {
      box.append(h("input", { type: "checkbox", disabled: true, checked: task[1] !== " ", "aria-label": t(task[1] === " " ? "markdown.open" : "markdown.done") }), " ");
      inner[0] = task[2];
    }
    if (inner.length === 1 || depth >= 8) inline(inner.join("\n"), box);
    else {
      const rest = inner.findIndex((text, index) => index > 0 && (starts(text) || !text.trim()));
      inline(inner.slice(0, rest < 0 ? undefined : rest).join("\n"), box);
      if (rest > 0) blocks(inner.slice(rest), box, depth + 1);
    }
    element.append(box);
    while (i < lines.length && !lines[i].trim() && i + 1 < lines.length && ITEM.test(lines[i + 1])) i++;
  }
  parent.append(element);
  return i;
}

function table(lines, start, parent) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((text) => text.trim().replaceAll("\\|", "|"));
  const align = cells(lines[start + 1]).map((mark) => (mark.endsWith(":") ? (mark.startsWith(":") ? "mid" : "right") : ""));
  const row = (line, tag) => h("tr", {}, cells(line).map((text, index) => inline(text, h(tag, { class: align[index] || undefined }))));
  const body = h("tbody");
  let i = start + 2;
  while (i < lines.length && lines[i].includes("|") && lines[i].trim()) body.append(row(lines[i++], "td"));
  parent.append(h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("markdown.table") }, h("table", {}, h("thead", {}, row(lines[start], "th")), body)));
  return i;
}

function code(text, language) {
  const copy = h("button", { type: "button", class: "quiet copy", onclick: async () => {
    try { await navigator.clipboard.writeText(text); copy.textContent = t("markdown.copied"); } catch { copy.textContent = t("markdown.notCopied"); }
    setTimeout(() => { copy.textContent = t("markdown.copy"); }, 1500);
  } }, t("markdown.copy"));
  return h("figure", { class: "code" }, h("figcaption", {}, language || t("markdown.code"), copy), h("pre", { tabindex: "0", role: "region", "aria-label": t("markdown.code") }, h("code", {}, text)));
}

const INLINE = [
  [/^\\([!-/:-@[-`{-~])/, (m) => m[1]],
  [/^(`+)([\s\S]*?[^`])\1(?!`)/, (m) => h("code", {}, m[2].replace(/\n/g, " ").replace(/^ (.*\S.*) $/, "$1"))],
  [/^!\[([^\]]{0,500})\]\(\s*<?([^\s>)]{1,2000})>?(?:\s+"[^"]*")?\s*\)/, (m) => link(m[2], t("markdown.image", { name: m[1] || m[2] }))],
  [/^\[((?:[^[\]\\]|\\.|\[[^\]]*\]){1,1000})\]\(\s*<?((?:[^\s()<>]|\([^\s()]*\)){1,2000})>?(?:\s+"[^"]*")?\s*\)/, (m) => link(m[2], m[1])],
  [/^<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>/, (m) => link(m[1], m[1])],
  [/^\*\*(?=\S)([\s\S]*?\S)\*\*/, (m) => inline(m[1], h("strong"))],
  [/^__(?=\S)([\s\S]*?\S)__(?!\w)/, (m) => inline(m[1], h("strong"))],
  [/^~~(?=\S)([\s\S]*?\S)~~/, (m) => inline(m[1], h("del"))],
  [/^\*(?=[^\s*])([\s\S]*?[^\s*])\*(?!\*)/, (m) => inline(m[1], h("em"))],
  [/^_(?=[^\s_])([\s\S]*?[^\s_])_(?!\w)/, (m) => inline(m[1], h("em"))],
  [/^https?:\/\/[^\s<>"'`]{1,2000}[^\s<>"'`.,;:!?)\]}*_]/, (m) => link(m[0], m[0])],
  [/^(?: {2,}|\\)\n/, () => h("br")],
  [/^\n/, () => h("br")],
];

function inline(text, parent) {
  let plain = "";
  const flush = () => { if (plain) { parent.append(plain); plain = ""; } };
  let i = 0;
  while (i < text.length) {
    const char = text[i];
    if (/[\\`![<*_~h \n]/.test(char) && !((char === "_" || char === "h") && /\w/.test(text[i - 1] ?? ""))) {
      const rest = text.slice(i, i + 6000);
      let found = false;
      for (const [pattern, make] of INLINE) {
        const match = rest.match(pattern);
        if (!match) continue;
        flush();
        parent.append(make(match));
        i += match[0].length;
        found = true;
        break;
      }
      if (found) continue;
    }
    plain += char;
    i++;
  }
  flush();
  return parent;
}

function link(target, label) {
  let url = null;
  try { url = new URL(target); } catch { url = null; }
  if (!url || !["http:", "https:", "mailto:"].includes(url.protocol)) return document.createTextNode(label);
  const element = h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" });
  if (label === target) element.append(label); else inline(label.replace(/\[|\]\([^)]*\)/g, ""), element);
  return element;
}

// Every text of the console: t("key", {name}). Catalogues are modules of plain objects, one per language and area; the core
// one comes with the first view, others with the page that needs them.
import { preferences } from "./preferences.js";
import en from "../catalogues/en-core.js";
import zh from "../catalogues/zh-core.js";

export const LANGUAGES = { en: "English", zh: "中文" };
const TAGS = { en: "en", zh: "zh-CN" };
const texts = { en: { ...en }, zh: { ...zh } };
const loaded = new Map();
const formats = new Map();

function wanted() {
  if (LANGUAGES[preferences.language]) return preferences.language;
  for (const tag of navigator.languages ?? []) {
    const base = tag.toLowerCase().split("-")[0];
    if (LANGUAGES[base]) return base;
  }
  return "en";
}

let language = wanted();
let tag;
let rules;
use(language);

function use(next) {
  language = next;
  // The browser's own region decides how numbers and dates look where it speaks the same language.
  tag = (navigator.languages ?? []).find((one) => one.toLowerCase().split("-")[0] === language) ?? TAGS[language];
  rules = new Intl.PluralRules(tag);
  formats.clear();
  document.documentElement.lang = TAGS[language];
}

export function currentLanguage() { return language; }
export function currentTag() { return tag; }

/** Switches the language; pages are shown again by whoever called. */
export async function setLanguage(next) {
  preferences.language = next;
  use(next);
  await Promise.all([...loaded.keys()].map((area) => loadArea(area)));
}

/** Makes the texts of an area known in the current language: `catalogues/{language}-{area}.js`. */
export async function loadArea(area) {
  if (!area || area === "core") return;
  const chosen = language;
  const have = loaded.get(area) ?? new Set();
  loaded.set(area, have);
  if (have.has(chosen)) return;
  const part = await import(`../catalogues/${chosen}-${area}.js`);
  Object.assign(texts[chosen], part.default);
  have.add(chosen);
}

function find(key, values) {
  let text = texts[language][key];
  if (text === undefined) {
    console.error(`No text "${key}" in ${language}.`);
    return key;
  }
  if (typeof text === "object") text = text[rules.select(Number(values?.count ?? 0))] ?? text.other;
  return text;
}

const shown = (value) => (typeof value === "number" ? number(value) : String(value));

/** A text; `{name}` takes `values.name`, numbers as the language writes them. `values.count` chooses the plural form. */
export function t(key, values) {
  const text = find(key, values);
  return values ? text.replace(/\{(\w+)\}/g, (whole, name) => (values[name] === undefined ? whole : shown(values[name]))) : text;
}

/** A text whose placeholders may be elements: an array for `h(…)`. */
export function rich(key, values = {}) {
  return find(key, values).split(/(\{\w+\})/).map((piece) => {
    const name = piece.match(/^\{(\w+)\}$/)?.[1];
    const value = name === undefined ? undefined : values[name];
    if (value === undefined) return piece;
    return value instanceof Node ? value : shown(value);
  });
}

/** Whether there is a text: for codes of the server that a catalogue may not know. */
export function has(key) { return texts[language][key] !== undefined; }

function format(kind, options) {
  const id = `${kind.name}${JSON.stringify(options ?? {})}`;
  if (!formats.has(id)) formats.set(id, new kind(tag, options));
  return formats.get(id);
}

export function number(value, options) { return format(Intl.NumberFormat, options).format(value); }
/** 1.2M, 120万: for places where every digit would be noise. */
export function compact(value) { return number(value, { notation: "compact", maximumFractionDigits: 1 }); }
export function percent(value) { return number(value, { style: "percent", maximumFractionDigits: value < 0.1 ? 1 : 0 }); }

export function bytes(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let step = 0;
  while (count >= 1024 && step < units.length - 1) { count /= 1024; step++; }
  return number(count, { style: "unit", unit: units[step], unitDisplay: step ? "short" : "long", maximumFractionDigits: step && count < 100 ? 1 : 0 });
}

/** Milliseconds as a length of time. */
export function duration(milliseconds) {
  if (milliseconds < 1000) return number(milliseconds, { style: "unit", unit: "millisecond", maximumFractionDigits: 0 });
  if (milliseconds < 60_000) return number(milliseconds / 1000, { style: "unit", unit: "second", maximumFractionDigits: 1 });
  return number(milliseconds / 60_000, { style: "unit", unit: "minute", maximumFractionDigits: 1 });
}

/** A point in time; today without its date. `zone` is an IANA name. */
export function when(value, { zone, full = false } = {}) {
  const date = new Date(value);
  const day = (one) => format(Intl.DateTimeFormat, { dateStyle: "short", timeZone: zone }).format(one);
  const short = !full && day(date) === day(new Date());
  return format(Intl.DateTimeFormat, { ...(short ? {} : { dateStyle: "medium" }), timeStyle: full ? "medium" : "short", timeZone: zone }).format(date);
}
export function date(value, options = { dateStyle: "medium" }) { return format(Intl.DateTimeFormat, options).format(new Date(value)); }

/** "3 minutes ago", "in 2 days". */
export function relative(value, now = Date.now()) {
  const seconds = (new Date(value).getTime() - now) / 1000;
  const steps = [["second", 1, 45], ["minute", 60, 45 * 60], ["hour", 3600, 22 * 3600], ["day", 86400, 26 * 86400], ["month", 2629800, 320 * 86400], ["year", 31557600, Infinity]];
  const [unit, size] = steps.find(([, , limit]) => Math.abs(seconds) < limit);
  return format(Intl.RelativeTimeFormat, { numeric: "auto" }).format(unit === "second" ? 0 : Math.round(seconds / size), unit);
}

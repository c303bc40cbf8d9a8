// Schedules in words, and between the words of the builder and what the API keeps (API.md §3.5).
import { currentTag, date, t } from "../core/i18n.js";

const DAY_NAMES = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MINUTE = 60_000;

/** A schedule's sentence: "Every weekday at 09:00"; what has no words is shown as it is written. */
export function scheduleText({ scheduleType, scheduleValue }) {
  const plan = parse(scheduleType, scheduleValue);
  switch (plan.kind) {
    case "once": return t("schedule.onceAt", { time: naive(plan.at) });
    case "every": return t(`schedule.every.${plan.unit}`, { count: plan.count });
    case "daily": return t("schedule.dailyAt", { time: clock(plan.time) });
    case "weekly": return plan.days.length === 5 && plan.days.every((day) => day > 0 && day < 6) ? t("schedule.weekdaysAt", { time: clock(plan.time) })
      : t("schedule.weeklyAt", { days: listed(plan.days.map((day) => dayName(day, "long"))), time: clock(plan.time) });
    case "monthly": return plan.day === "L" ? t("schedule.lastDayAt", { time: clock(plan.time) }) : t("schedule.monthlyAt", { day: plan.day, time: clock(plan.time) });
    default: return t("schedule.cronIs", { value: scheduleValue });
  }
}

/** A name of a day, 0 is Sunday. */
export function dayName(day, style = "short") {
  return date(Date.UTC(2023, 0, 1 + day), { weekday: style, timeZone: "UTC" });
}

const listed = (words) => new Intl.ListFormat(currentTag(), { type: "conjunction" }).format(words);
const clock = (time) => date(`1970-01-01T${time}:00Z`, { timeStyle: "short", timeZone: "UTC" });
const naive = (text) => date(`${text}Z`, { dateStyle: "full", timeStyle: "short", timeZone: "UTC" });

/**
 * What the builder shows: `{kind: "once", at}`, `{kind: "every", count, unit}`, `{kind: "daily", time}`, `{kind: "weekly", days,
 * time}`, `{kind: "monthly", day, time}` or `{kind: "cron", value}`.
 */
export function parse(type, value) {
  if (type === "once") return { kind: "once", at: value };
  if (type === "interval") {
    const minutes = Number(value) / MINUTE;
    if (minutes % 1440 === 0) return { kind: "every", count: minutes / 1440, unit: "days" };
    return minutes % 60 === 0 ? { kind: "every", count: minutes / 60, unit: "hours" } : { kind: "every", count: minutes, unit: "minutes" };
  }
  const fields = value.trim().split(/\s+/);
  const [minute, hour, day, month, weekday, year] = fields;
  const any = (field) => field === "*" || field === "?";
  const cron = { kind: "cron", value };
  if (![5, 6].includes(fields.length) || month !== "*" || (year !== undefined && year !== "*")) return cron;
  if (!/^\d{1,2}$/.test(minute) || !/^\d{1,2}$/.test(hour) || Number(minute) > 59 || Number(hour) > 23) return cron;
  const time = `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}`;
  if (any(day) && any(weekday)) return { kind: "daily", time };
  if (any(day)) {
    const days = daysOf(weekday, year === undefined ? 0 : 1);
    return days ? { kind: "weekly", days, time } : cron;
  }
  if (!any(weekday)) return cron;
  if (day === "L") return { kind: "monthly", day, time };
  return /^\d{1,2}$/.test(day) ? { kind: "monthly", day: Number(day), time } : cron;
}

// "1-5", "MON,WED": days from 0 = Sunday; `first` is the number that the format gives Sunday.
function daysOf(text, first) {
  const days = new Set();
  for (const part of text.split(",")) {
    const ends = part.split("-").map((one) => {
      const named = DAY_NAMES.indexOf(one.toUpperCase());
      if (named >= 0) return named;
      return /^\d$/.test(one) ? Number(one) - first : -1;
    });
    if (ends.length > 2 || ends.some((one) => one < 0 || one > 7)) return null;
    for (let day = ends[0]; day <= (ends[1] ?? ends[0]); day++) days.add(day % 7);
  }
  return days.size === 0 ? null : days.size === 7 ? null : [...days].sort((a, b) => a - b);
}

/** What the API keeps of a builder's plan: `{scheduleType, scheduleValue}`. */
export function compose(plan) {
  const at = () => plan.time.split(":").map(Number).reverse().join(" ");
  switch (plan.kind) {
    case "once": return { scheduleType: "once", scheduleValue: plan.at.length === 16 ? `${plan.at}:00` : plan.at };
    case "every": return { scheduleType: "interval", scheduleValue: String(plan.count * { minutes: 1, hours: 60, days: 1440 }[plan.unit] * MINUTE) };
    case "daily": return { scheduleType: "cron", scheduleValue: `${at()} * * *` };
    case "weekly": return { scheduleType: "cron", scheduleValue: `${at()} * * ${plan.days.join(",")}` };
    // The last day needs the format that has a letter for it.
    case "monthly": return { scheduleType: "cron", scheduleValue: plan.day === "L" ? `${at()} L * ? *` : `${at()} ${plan.day} * *` };
    default: return { scheduleType: "cron", scheduleValue: plan.value.trim() };
  }
}

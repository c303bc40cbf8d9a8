// The months that usage is kept of. Months are UTC: that is how they are counted.
import { h } from "../core/dom.js";
import { date, t } from "../core/i18n.js";
import { options } from "./form.js";

/** `YYYY-MM` of the month that is `offset` from this one. */
export function monthOf(offset, now = new Date()) {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1)).toISOString().slice(0, 7);
}

/** A choice of the last twelve months; `chosen(month)` is told. */
export function monthPicker(chosen) {
  const select = options(h("select", { "aria-label": t("month.choose"), onchange: () => chosen(select.value) }), Array.from({ length: 12 }, (_, index) => monthOf(-index)).map((month) => [month, date(`${month}-15`, { year: "numeric", month: "long", timeZone: "UTC" })]));
  return select;
}

/** Every day of a month up to today, as points of a chart: a day without use is a gap, not a missing bar. */
export function daysOf({ month, days }, point) {
  const [year, index] = month.split("-").map(Number);
  const last = month === monthOf(0) ? new Date().getUTCDate() : new Date(Date.UTC(year, index, 0)).getUTCDate();
  const known = new Map(days.map((day) => [day.date, day]));
  return Array.from({ length: last }, (_, at) => {
    const key = `${month}-${String(at + 1).padStart(2, "0")}`;
    return point(key, at + 1, known.get(key));
  });
}

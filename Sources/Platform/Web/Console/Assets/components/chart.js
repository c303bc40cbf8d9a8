// A bar chart in SVG. Screen readers, and whoever wants the figures, get the same as a table.
import { h, svg } from "../core/dom.js";
import { compact, number, t } from "../core/i18n.js";

const WIDTH = 640;
const HEIGHT = 180;
const LEFT = 44;
const BOTTOM = 22;
const TOP = 10;

/** `points`: `[{label, short, value, detail?}]`; `short` stands below the bar where there is room. */
export function barChart({ title, labelHead, valueHead, points }) {
  const top = nice(Math.max(1, ...points.map((point) => point.value)));
  const step = (WIDTH - LEFT) / points.length;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const every = Math.ceil(points.length / 8);
  const picture = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", preserveAspectRatio: "xMidYMid meet" },
    [0, top / 2, top].map((value) => [
      svg("line", { x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value), class: "chart-line" }),
      svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, compact(value)),
    ]),
    points.map((point, index) => [
      svg("rect", { class: "chart-bar", x: LEFT + index * step + step * 0.15, width: step * 0.7, y: point.value ? Math.min(y(point.value), HEIGHT - BOTTOM - 2) : HEIGHT - BOTTOM, height: point.value ? Math.max(2, HEIGHT - BOTTOM - y(point.value)) : 0, rx: Math.min(4, step * 0.2) }),
      svg("rect", { class: "chart-hit", x: LEFT + index * step, width: step, y: TOP, height: HEIGHT - BOTTOM - TOP }, svg("title", {}, `${point.label}: ${number(point.value)}${point.detail ? ` · ${point.detail}` : ""}`)),
      index % every === 0 && svg("text", { x: LEFT + (index + 0.5) * step, y: HEIGHT - 6, "text-anchor": "middle" }, point.short),
    ]));
  return h("figure", { class: "figure" }, h("figcaption", { class: "unseen" }, title), picture,
    h("details", {}, h("summary", {}, t("chart.table")),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, labelHead), h("th", { scope: "col", class: "right" }, valueHead))),
        h("tbody", {}, points.map((point) => h("tr", {}, h("th", { scope: "row" }, point.label), h("td", { class: "right" }, number(point.value)))))))));
}

// The next round number: 1, 2 or 5 times a power of ten.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((factor) => factor * power >= value) * power;
}

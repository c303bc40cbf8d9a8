// A bar chart in SVG. Screen readers, and whoever wants the figures, get the same as a table.
import { append, h, svg } from "../core/dom.js";
import { compact, number, t } from "../core/i18n.js";

const HEIGHT = 190;
const LEFT = 46;
const BOTTOM = 24;
const TOP = 10;

/** `points`: `[{label, short, value, detail?}]`; `short` stands below the bar where there is room. */
export function barChart({ title, labelHead, valueHead, points }) {
  const top = nice(Math.max(1, ...points.map((point) => point.value)));
  const picture = svg("svg", { class: "chart", height: HEIGHT, "aria-hidden": "true" });
  // Drawn in the pixels there are, so that its letters are as large as all others.
  let drawn = 0;
  const watcher = new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (!picture.isConnected) watcher.disconnect();
    else if (width > 0 && width !== drawn) { drawn = width; draw(picture, points, top, width); }
  });
  watcher.observe(picture);
  return h("figure", { class: "figure" }, h("figcaption", { class: "unseen" }, title), picture,
    h("details", {}, h("summary", {}, t("chart.table")),
      h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, labelHead), h("th", { scope: "col", class: "right" }, valueHead))),
        h("tbody", {}, points.map((point) => h("tr", {}, h("th", { scope: "row" }, point.label), h("td", { class: "right" }, number(point.value)))))))));
}

function draw(picture, points, top, width) {
  const step = (width - LEFT) / points.length;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);
  const every = Math.ceil((points.length * 36) / (width - LEFT));
  picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  picture.replaceChildren();
  append(picture, [
    [0, top / 2, top].map((value) => [
      svg("line", { x1: LEFT, x2: width, y1: y(value), y2: y(value), class: "chart-line" }),
      svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, compact(value)),
    ]),
    points.map((point, index) => {
      const height = point.value ? Math.max(3, HEIGHT - BOTTOM - y(point.value)) : 0;
      return [
        svg("rect", { class: "chart-bar", x: LEFT + index * step + step * 0.15, width: step * 0.7, y: HEIGHT - BOTTOM - height, height, rx: Math.min(4, step * 0.2) }),
        svg("rect", { class: "chart-hit", x: LEFT + index * step, width: step, y: TOP, height: HEIGHT - BOTTOM - TOP }, svg("title", {}, `${point.label}: ${number(point.value)}${point.detail ? ` · ${point.detail}` : ""}`)),
        index % every === 0 && svg("text", { x: LEFT + (index + 0.5) * step, y: HEIGHT - 6, "text-anchor": "middle" }, point.short),
      ];
    }),
  ]);
}

// The next round number: 1, 2 or 5 times a power of ten.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((factor) => factor * power >= value) * power;
}

// The icons: strokes on a grid of 24, drawn with the text's colour.
import { svg } from "../core/dom.js";

const PATHS = {
  home: "M4 11l8-7 8 7M6 9.5V20h12V9.5M10 20v-6h4v6",
  bot: "M12 4v3M6 7h12a2 2 0 012 2v8a2 2 0 01-2 2H6a2 2 0 01-2-2V9a2 2 0 012-2zM9 12v2M15 12v2",
  book: "M5 4h10a4 4 0 014 4v12H9a4 4 0 01-4-4zM5 16a4 4 0 014-4h10",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
  shield: "M12 3l7 3v6c0 4.5-3 7.5-7 9-4-1.5-7-4.5-7-9V6z",
  user: "M12 12a4 4 0 100-8 4 4 0 000 8zM4.5 20c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5",
  out: "M14 4h4a2 2 0 012 2v12a2 2 0 01-2 2h-4M10 8l-4 4 4 4M6 12h9",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  chat: "M5 5h14a2 2 0 012 2v8a2 2 0 01-2 2h-7l-5 4v-4H5a2 2 0 01-2-2V7a2 2 0 012-2z",
  link: "M10 14a4 4 0 005.7 0l3-3a4 4 0 00-5.7-5.7l-1 1M14 10a4 4 0 00-5.7 0l-3 3a4 4 0 005.7 5.7l1-1",
  clock: "M12 21a9 9 0 100-18 9 9 0 000 18zM12 7v5l3 2",
  folder: "M3 7a2 2 0 012-2h4l2 2h8a2 2 0 012 2v8a2 2 0 01-2 2H5a2 2 0 01-2-2z",
  file: "M7 3h7l5 5v11a2 2 0 01-2 2H7a2 2 0 01-2-2V5a2 2 0 012-2zM14 3v5h5",
  inbox: "M4 13l3-8h10l3 8v5a2 2 0 01-2 2H6a2 2 0 01-2-2zM4 13h5l1 2h4l1-2h5",
  gauge: "M4 18a9 9 0 1116 0M12 14l4-5",
  alert: "M12 4l9 16H3zM12 10v4M12 17h.01",
  check: "M5 12l5 5 9-10",
  search: "M11 18a7 7 0 100-14 7 7 0 000 14zM16 16l4 4",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  upload: "M12 16V5M7 9l5-5 5 5M5 20h14",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  refresh: "M20 11a8 8 0 10-2 6M20 5v6h-6",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  clip: "M8 12l6-6a3 3 0 014 4l-8 8a5 5 0 01-7-7l7-7",
  globe: "M12 21a9 9 0 100-18 9 9 0 000 18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  moon: "M20 14A8 8 0 0110 4a8 8 0 1010 10z",
  sun: "M12 16a4 4 0 100-8 4 4 0 000 8zM12 2v2M12 20v2M4 12H2M22 12h-2M5 5l1.5 1.5M17.5 17.5L19 19M5 19l1.5-1.5M17.5 6.5L19 5",
  half: "M12 21a9 9 0 100-18 9 9 0 000 18zM12 3v18M12 8h7M12 13h8.5M12 18h5",
  right: "M9 5l7 7-7 7",
  left: "M15 5l-7 7 7 7",
  down: "M5 9l7 7 7-7",
  key: "M15 11a4 4 0 100-6 4 4 0 000 6zM12 9l-8 8v3h3l1-1v-2h2v-2l2-2",
  copy: "M9 9h10v11H9zM5 15V4h10",
  eye: "M2 12c3-5 6-7 10-7s7 2 10 7c-3 5-6 7-10 7s-7-2-10-7zM12 15a3 3 0 100-6 3 3 0 000 6z",
  bolt: "M13 3L5 14h6l-1 7 8-11h-6z",
};

/** The product's mark, as in icon.svg: drawn here so that it costs no request of its own. */
export function mark(size) {
  return svg("svg", { class: "mark", viewBox: "0 0 64 64", width: size, height: size, "aria-hidden": "true" },
    svg("rect", { width: 64, height: 64, rx: 16, class: "mark-ground" }),
    svg("path", { d: "M18 40c0-10 6-18 14-18s14 8 14 18M20 20l-5-7M44 20l5-7", class: "mark-line" }),
    svg("circle", { cx: 25, cy: 38, r: 3.5, class: "mark-eye" }), svg("circle", { cx: 39, cy: 38, r: 3.5, class: "mark-eye" }));
}

/** An icon that says nothing to a screen reader: the button or link around it carries the name. */
export function icon(name, size = 20) {
  return svg("svg", { class: `icon icon-${name}`, viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", focusable: "false" }, svg("path", { d: PATHS[name] }));
}

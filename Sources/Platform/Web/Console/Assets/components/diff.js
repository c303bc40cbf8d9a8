// What two texts have in common, line by line, and the merge of two texts that began as one.
import { h } from "../core/dom.js";
import { t } from "../core/i18n.js";

/** Cells of the table that is filled for what is between the equal beginning and the equal end; above it the middle counts as replaced. */
const LARGEST = 4_000_000;
/** Unchanged lines shown around a change. */
const AROUND = 3;

const lines = (text) => (text === "" ? [] : text.replace(/\r\n?/g, "\n").split("\n"));

/** Pairs of indexes of equal lines, rising in both: a longest common subsequence. */
function common(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let tail = 0;
  while (tail < a.length - start && tail < b.length - start && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const pairs = Array.from({ length: start }, (_, index) => [index, index]);
  const rows = a.length - start - tail;
  const columns = b.length - start - tail;
  if (rows > 0 && columns > 0 && rows * columns <= LARGEST) {
    const width = columns + 1;
    const table = new Uint32Array((rows + 1) * width);
    for (let i = rows - 1; i >= 0; i--) {
      for (let j = columns - 1; j >= 0; j--) {
        table[i * width + j] = a[start + i] === b[start + j] ? table[(i + 1) * width + j + 1] + 1 : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
      }
    }
    for (let i = 0, j = 0; i < rows && j < columns;) {
      if (a[start + i] === b[start + j]) pairs.push([start + i++, start + j++]);
      else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) i++;
      else j++;
    }
  }
  for (let index = tail; index > 0; index--) pairs.push([a.length - index, b.length - index]);
  return pairs;
}

/** The lines of both texts: `[{kind: "same" | "old" | "new", text}]`. */
export function diff(before, after) {
  const a = lines(before);
  const b = lines(after);
  const found = [];
  let i = 0;
  let j = 0;
  for (const [x, y] of [...common(a, b), [a.length, b.length]]) {
    while (i < x) found.push({ kind: "old", text: a[i++] });
    while (j < y) found.push({ kind: "new", text: b[j++] });
    if (x < a.length && y < b.length) found.push({ kind: "same", text: a[i] });
    i = x + 1;
    j = y + 1;
  }
  return found;
}

/**
 * Both changes of one text: `{text, conflicts}`. Where both changed the same lines differently, both versions stand between the
 * marks that programmers know, and `conflicts` counts these places.
 */
export function merge(base, mine, theirs) {
  const o = lines(base);
  const a = lines(mine);
  const b = lines(theirs);
  const inA = new Map(common(o, a));
  const inB = new Map(common(o, b));
  const result = [];
  let conflicts = 0;
  let io = 0;
  let ia = 0;
  let ib = 0;
  const same = (x, y) => x.length === y.length && x.every((line, index) => line === y[index]);
  while (io <= o.length) {
    // The next line that both still have, or the end of all three.
    let stop = io;
    while (stop < o.length && !(inA.has(stop) && inB.has(stop))) stop++;
    const ends = stop < o.length ? [inA.get(stop), inB.get(stop)] : [a.length, b.length];
    const old = o.slice(io, stop);
    const left = a.slice(ia, ends[0]);
    const right = b.slice(ib, ends[1]);
    if (same(left, right) || same(right, old)) result.push(...left);
    else if (same(left, old)) result.push(...right);
    // Both added to the same place of which nothing was there: both are kept, one after the other.
    else if (old.length === 0) result.push(...left, ...right);
    else {
      conflicts++;
      result.push("<<<<<<<", ...left, "=======", ...right, ">>>>>>>");
    }
    if (stop < o.length) result.push(o[stop]);
    [io, ia, ib] = [stop + 1, ends[0] + 1, ends[1] + 1];
  }
  return { text: result.join("\n"), conflicts };
}

/** A diff as people read it; long unchanged stretches are folded. */
export function diffView(before, after, label) {
  const all = diff(before, after);
  if (!all.some((line) => line.kind !== "same")) return h("p", { class: "calm" }, t("diff.same"));
  const near = new Set();
  all.forEach((line, index) => {
    if (line.kind === "same") return;
    for (let by = -AROUND; by <= AROUND; by++) near.add(index + by);
  });
  const rows = [];
  let folded = 0;
  const fold = () => {
    if (folded) rows.push(h("li", { class: "fold" }, t("diff.folded", { count: folded })));
    folded = 0;
  };
  all.forEach((line, index) => {
    if (!near.has(index)) { folded++; return; }
    fold();
    const tag = { same: "span", old: "del", new: "ins" }[line.kind];
    rows.push(h("li", { class: line.kind }, line.kind !== "same" && h("span", { class: "unseen" }, t(`diff.${line.kind}`)), h(tag, { dir: "auto" }, line.text || " ")));
  });
  fold();
  return h("div", { class: "diff", tabindex: "0", role: "region", "aria-label": label }, h("ol", {}, rows));
}

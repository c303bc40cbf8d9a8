// QR codes (ISO/IEC 18004): bytes, error correction level M, versions 1 to 13 (up to 331 bytes), drawn as one SVG path.
import { h, svg } from "../core/dom.js";

/** Of level M, by version from 1: error correction bytes of a block, and the number of blocks. */
const CORRECTION = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9];
/** Level M in the format information. */
const LEVEL = 0;

// GF(256) with the polynomial x⁸+x⁴+x³+x²+1.
const EXP = new Uint8Array(512);
const LOG = new Uint8Array(256);
for (let i = 0, value = 1; i < 255; i++) {
  EXP[i] = EXP[i + 255] = value;
  LOG[value] = i;
  value <<= 1;
  if (value & 0x100) value ^= 0x11d;
}
const multiply = (a, b) => (a && b ? EXP[LOG[a] + LOG[b]] : 0);

function remainder(data, degree) {
  let divisor = [1];
  for (let i = 0; i < degree; i++) {
    const next = [...divisor, 0];
    divisor.forEach((factor, index) => { next[index + 1] ^= multiply(factor, EXP[i]); });
    divisor = next;
  }
  const rest = new Uint8Array(degree);
  for (const byte of data) {
    const factor = byte ^ rest[0];
    rest.copyWithin(0, 1);
    rest[degree - 1] = 0;
    for (let i = 0; i < degree; i++) rest[i] ^= multiply(divisor[i + 1], factor);
  }
  return rest;
}

function alignments(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const size = version * 4 + 17;
  const step = Math.ceil((size - 13) / (2 * count - 2)) * 2;
  return [6, ...Array.from({ length: count - 1 }, (_, index) => size - 7 - (count - 2 - index) * step)];
}

// How many bytes a version holds, correction included.
function capacity(version) {
  const size = version * 4 + 17;
  const marks = alignments(version).length;
  let bits = size * size - 3 * 64 - 31 - 2 * (size - 16);
  if (marks) bits -= (marks - 1) * (marks - 1) * 25 + (marks - 2) * 2 * 20;
  if (version >= 7) bits -= 36;
  return bits >> 3;
}

/** The modules of a code: rows of booleans, true is dark. */
export function qrModules(text) {
  const bytes = new TextEncoder().encode(text);
  let version = 1;
  const room = () => capacity(version) - CORRECTION[version - 1] * BLOCKS[version - 1];
  while (version <= CORRECTION.length && bytes.length + (version < 10 ? 2 : 3) > room()) version++;
  if (version > CORRECTION.length) throw new RangeError("The text is too long for a QR code.");
  return build(version, interleave(version, words(version, bytes, room())));
}

function words(version, bytes, room) {
  const bits = [];
  const push = (value, length) => { for (let i = length - 1; i >= 0; i--) bits.push((value >>> i) & 1); };
  push(4, 4);
  push(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) push(byte, 8);
  push(0, Math.min(4, room * 8 - bits.length));
  while (bits.length % 8) bits.push(0);
  const data = [];
  for (let i = 0; i < bits.length; i += 8) data.push(parseInt(bits.slice(i, i + 8).join(""), 2));
  for (let pad = 0xec; data.length < room; pad ^= 0xec ^ 0x11) data.push(pad);
  return data;
}

function interleave(version, data) {
  const count = BLOCKS[version - 1];
  const correction = CORRECTION[version - 1];
  const short = Math.floor(data.length / count);
  const blocks = [];
  for (let i = 0, at = 0; i < count; i++) {
    const length = short + (i >= count - (data.length % count) ? 1 : 0);
    const block = data.slice(at, at + length);
    at += length;
    blocks.push({ block, rest: remainder(block, correction) });
  }
  const result = [];
  for (let i = 0; i <= short; i++) for (const { block } of blocks) if (i < block.length) result.push(block[i]);
  for (let i = 0; i < correction; i++) for (const { rest } of blocks) result.push(rest[i]);
  return result;
}

function build(version, data) {
  const size = version * 4 + 17;
  const dark = Array.from({ length: size }, () => new Array(size).fill(false));
  const fixed = Array.from({ length: size }, () => new Array(size).fill(false));
  const set = (x, y, value) => {
    if (x < 0 || y < 0 || x >= size || y >= size) return;
    dark[y][x] = value;
    fixed[y][x] = true;
  };
  for (let i = 0; i < size; i++) { set(6, i, i % 2 === 0); set(i, 6, i % 2 === 0); }
  for (const [cx, cy] of [[3, 3], [size - 4, 3], [3, size - 4]]) {
    for (let dy = -4; dy <= 4; dy++) for (let dx = -4; dx <= 4; dx++) {
      const ring = Math.max(Math.abs(dx), Math.abs(dy));
      set(cx + dx, cy + dy, ring !== 2 && ring !== 4);
    }
  }
  const centres = alignments(version);
  centres.forEach((cx, i) => centres.forEach((cy, j) => {
    const last = centres.length - 1;
    if ((i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0)) return;
    for (let dy = -2; dy <= 2; dy++) for (let dx = -2; dx <= 2; dx++) set(cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
  }));
  const format = (mask) => {
    const value = (LEVEL << 3) | mask;
    let rest = value;
    for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
    const bits = ((value << 10) | rest) ^ 0x5412;
    const bit = (i) => ((bits >>> i) & 1) === 1;
    for (let i = 0; i <= 5; i++) set(8, i, bit(i));
    set(8, 7, bit(6));
    set(8, 8, bit(7));
    set(7, 8, bit(8));
    for (let i = 9; i < 15; i++) set(14 - i, 8, bit(i));
    for (let i = 0; i < 8; i++) set(size - 1 - i, 8, bit(i));
    for (let i = 8; i < 15; i++) set(8, size - 15 + i, bit(i));
    set(8, size - 8, true);
  };
  format(0);
  if (version >= 7) {
    let rest = version;
    for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
    const bits = (version << 12) | rest;
    for (let i = 0; i < 18; i++) {
      const value = ((bits >>> i) & 1) === 1;
      set(size - 11 + (i % 3), Math.floor(i / 3), value);
      set(Math.floor(i / 3), size - 11 + (i % 3), value);
    }
  }
  // Bits run up and down in columns of two, from the right, around the vertical timing line.
  let at = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step++) {
      for (let j = 0; j < 2; j++) {
        const x = right - j;
        const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
        if (fixed[y][x] || at >= data.length * 8) continue;
        dark[y][x] = ((data[at >>> 3] >>> (7 - (at & 7))) & 1) === 1;
        at++;
      }
    }
  }
  const flip = (mask) => {
    for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) if (!fixed[y][x] && MASKS[mask](x, y)) dark[y][x] = !dark[y][x];
  };
  let best = 0;
  let least = Infinity;
  for (let mask = 0; mask < 8; mask++) {
    flip(mask);
    format(mask);
    const cost = penalty(dark, size);
    if (cost < least) { best = mask; least = cost; }
    flip(mask);
  }
  flip(best);
  format(best);
  return dark;
}

const MASKS = [
  (x, y) => (x + y) % 2 === 0, (x, y) => y % 2 === 0, (x) => x % 3 === 0, (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0, (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

function penalty(dark, size) {
  let cost = 0;
  let count = 0;
  for (const across of [true, false]) {
    for (let a = 0; a < size; a++) {
      let line = "";
      for (let b = 0; b < size; b++) line += (across ? dark[a][b] : dark[b][a]) ? "1" : "0";
      for (const [run] of line.matchAll(/0{5,}|1{5,}/g)) cost += run.length - 2;
      for (let b = 0; b + 11 <= size; b++) {
        const part = line.slice(b, b + 11);
        if (part === "10111010000" || part === "00001011101") cost += 40;
      }
      if (across) count += line.replaceAll("0", "").length;
    }
  }
  for (let y = 0; y < size - 1; y++) for (let x = 0; x < size - 1; x++) {
    if (dark[y][x] === dark[y][x + 1] && dark[y][x] === dark[y + 1][x] && dark[y][x] === dark[y + 1][x + 1]) cost += 3;
  }
  return cost + Math.floor(Math.abs((count * 20) / (size * size) - 10)) * 10;
}

/** A picture of a code, dark on light in both themes: cameras expect it so. `label` is what a screen reader says. */
export function qrCode(text, label) {
  const modules = qrModules(text);
  const size = modules.length + 8;
  let path = "";
  modules.forEach((row, y) => row.forEach((dark, x) => { if (dark) path += `M${x + 4} ${y + 4}h1v1h-1z`; }));
  return h("div", { class: "qr" }, svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: size, height: size, fill: "#fff" }), svg("path", { d: path, fill: "#000" })));
}

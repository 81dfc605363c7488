"use strict";
// The walk as data: what is where, and what had arrived when. Nothing in this part touches the page.

const D = JSON.parse(document.getElementById("data").textContent);
const STRINGS = D.strings;
const FIELDS = ["name", "op", "operands", "time", "layer", "part", "role", "site", "dtype", "shape", "value", "saturated", "requiresGrad"];
const WORDS = new Set(["op", "layer", "part", "role", "site", "dtype"]);

const nodes = D.nodes.map((row, index) => {
  const node = { index };
  FIELDS.forEach((field, i) => { node[field] = WORDS.has(field) && row[i] !== null ? STRINGS[row[i]] : row[i]; });
  return node;
});

const readers = new Map(); // node -> [who reads it, as which operand]
nodes.forEach((reader) => reader.operands.forEach((x, slot) => {
  if (typeof x === "number") readers.set(x, [...(readers.get(x) || []), [reader, slot]]);
}));

function pieces(index, further = 2) { // how many parts a vector is read in: the gates that one product makes, or that something is added to
  const all = readers.get(index) || [];
  const read = all.filter(([reader]) => reader.op === "getitem").length;
  if (read > 1 || !further) return read;
  const on = all.filter(([reader, slot]) => reader.op === "add" || (reader.op === "linear" && slot === 2));
  return Math.max(read, ...on.map(([reader]) => pieces(reader.index, further - 1)));
}

// Positions: step k of the walk back is k, the loss is 0, the forward pass is negative. `stops` are those shown here.
const stops = D.whole ? Array.from({ length: D.stops[1] - D.stops[0] + 1 }, (_, i) => D.stops[0] + i) : D.stops;
const placeOf = new Map(stops.map((p, i) => [p, i]));
const turn = new Map(D.order.map((node, i) => [node, i + 1]));
const nodeAt = (p) => (p === 0 ? D.output : p > 0 ? D.order[p - 1] : D.forward[p - D.first]);
const sentenceAt = (p) => D.sentences[placeOf.get(p)];

function positionOf(node) {
  if (turn.has(node)) return turn.get(node);
  const i = D.forward.indexOf(node);
  return i < 0 ? null : D.first + i;
}

// Arrays ------------------------------------------------------------------------------------------------

const decoded = new Map();

function array(number) {
  if (number === null || number === undefined) return null;
  if (!decoded.has(number)) {
    const [shape, dtype, text, corner, whole] = D.arrays[number];
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const data = dtype === "f" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
    decoded.set(number, { shape, data, corner: corner || null, measures: whole ? named(whole) : null });
  }
  return decoded.get(number);
}

const MEASURES = ["size", "norm", "smallest", "largest", "negative", "zero", "positive", "infinite", "nan"];
const named = (list) => Object.fromEntries(MEASURES.map((key, i) => [key, plain(list[i])]));
// JSON has no numbers for these
const plain = (x) => (x === "nan" ? NaN : x === "inf" ? Infinity : x === "-inf" ? -Infinity : x);

function measure(a) {
  if (a.measures) return a.measures;
  const m = { size: a.data.length, norm: 0, smallest: Infinity, largest: -Infinity, negative: 0, zero: 0, positive: 0, infinite: 0, nan: 0 };
  let largest = 0;
  for (const x of a.data) {
    if (Number.isNaN(x)) { m.nan += 1; continue; }
    if (!Number.isFinite(x)) m.infinite += 1;
    m[x < 0 ? "negative" : x > 0 ? "positive" : "zero"] += 1;
    m.smallest = Math.min(m.smallest, x);
    m.largest = Math.max(m.largest, x);
    largest = Math.max(largest, Math.abs(x));
  }
  if (largest && Number.isFinite(largest)) {
    for (const x of a.data) m.norm += (x / largest) ** 2;
    m.norm = largest * Math.sqrt(m.norm);
  }
  if (m.infinite) m.norm = Infinity;
  if (m.nan) m.norm = m.smallest = m.largest = NaN;
  a.measures = m;
  return m;
}

function plus(a, b) {
  const data = a.data.slice();
  for (let i = 0; i < data.length; i += 1) data[i] += b.data[i]; // a Float32Array rounds as the engine's addition does
  return { shape: a.shape, data, corner: a.corner, measures: null };
}

// What arrived, and when ----------------------------------------------------------------------------------

const steps = new Map(Object.entries(D.steps).map(([k, [node, gradient, sent, replaced]]) => [
  Number(k), {
    node, gradient, replaced,
    sent: sent.map(([slot, target, value, formula, kind, factor, norm, sum]) => ({ slot, target, value, formula, kind, factor, norm: plain(norm), sum })),
  },
]));

const arrivals = new Map([[D.output, [{ step: 0, sum: D.seed }]]]);
const arrivalsAt = (node) => arrivals.get(node) || [];
for (const [k, step] of steps) {
  step.sent.forEach((sent, index) => {
    if (!arrivals.has(sent.target)) arrivals.set(sent.target, []);
    arrivals.get(sent.target).push({ step: k, index, sent });
  });
}
for (const [target, step, sum] of D.brought) {
  if (!arrivals.has(target)) arrivals.set(target, []);
  arrivals.get(target).push({ step, sum });
}
for (const list of arrivals.values()) list.sort((a, b) => a.step - b.step);

function arrived(node, p) { // how many had arrived when step p was over
  const list = arrivalsAt(node);
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].step <= Math.max(p, 0)) low = middle + 1; else high = middle;
  }
  return p < 0 ? 0 : low;
}

const shipped = D.whole ? new Set(turn.keys()) : new Set(stops.map(nodeAt));
const sums = new Map(); // the latest partial sum of each node: going on costs one addition

function summed(node, count) {
  if (!count) return null;
  let [held, total] = sums.get(node) || [0, null];
  if (held > count) [held, total] = [0, null];
  const list = arrivalsAt(node);
  for (; held < count; held += 1) {
    const event = list[held];
    if (event.sum !== undefined) { total = array(event.sum); continue; }
    const value = array(event.sent.value);
    const { norm, sum } = event.sent;
    if (sum !== undefined) total = array(sum); // rows added in place: not rounded as a sum of two
    else total = total ? plus(total, value) : value;
    if (typeof norm === "number" && held && sum === undefined) total.measures = { norm }; // of a corner one cannot tell the whole's
  }
  sums.set(node, [count, total]);
  return total;
}

function gradient(node, p) { // null: nothing arrived, which is not a gradient of 0
  if (p < 0) return null;
  const k = turn.get(node);
  if (k !== undefined && p >= k && steps.has(k)) return array(steps.get(k).gradient);
  return summed(node, arrived(node, p));
}

function value(node, p) { // null: the forward pass has not come to it
  return p < 0 && nodes[node].op && node > nodeAt(p) ? null : array(nodes[node].value);
}

function status(node, p) {
  if (p < 0) return node === nodeAt(p) ? "current" : !nodes[node].op || node < nodeAt(p) ? "computed" : "unreached";
  const k = turn.get(node);
  if (k === undefined) return "none";
  if (k === p || (p === 0 && node === D.output)) return "current";
  if (k < p) return "done";
  if (!shipped.has(node)) return "unreached"; // in a collapsed walk what arrives there is not told
  const count = arrived(node, p);
  return !count ? "unreached" : count === arrivalsAt(node).length ? "ready" : "waiting";
}

const bothNames = (node) => (D.own[node] ? `${nodes[node].name} (${D.own[node]})` : nodes[node].name); // the letter first

function expression(node) {
  const made = nodes[node];
  if (!made.op) return made.requiresGrad ? "a parameter" : "a constant";
  return `${made.op}(${made.operands.map((x) => operandName(x, node)).join(", ")})`;
}

// a first state may be a cell's c and its h
const operandName = (x, reader) => (typeof x === "number" ? D.read[`${x} ${reader}`] || nodes[x].name : String(x));

function otherTime(p, direction) {
  const here = nodes[nodeAt(p)].time;
  for (let i = placeOf.get(p) + direction; i >= 0 && i < stops.length; i += direction) {
    const time = nodes[nodeAt(stops[i])].time;
    if (time && time !== here) return stops[i];
  }
  return stops[direction > 0 ? stops.length - 1 : 0];
}

// Numbers as the other views write them: two digits, a true minus sign, no exponent where it can be helped.
function number(x) {
  if (x === null || x === undefined) return "";
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e-3 && size < 99.5 ? String(Number(x.toPrecision(2))) : size >= 99.5 && size < 1e5 ? x.toFixed(0) : x.toExponential(1);
  return text.replace("e+", "e").replace(/-/g, "−");
}

const shapeOf = (shape) => (shape.length ? shape.join("×") : "scalar");

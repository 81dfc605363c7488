// What the page is made of: elements, grids of numbers, and the panels about the node whose turn it is.

const $ = (selector) => document.querySelector(selector);

function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [key, x] of Object.entries(attributes)) {
    if (x === null || x === undefined || x === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), x); else element.setAttribute(key, x);
  }
  element.append(...children.flat().filter((x) => x !== null && x !== undefined && x !== ""));
  return element;
}

const fill = (id, ...children) => $(`#${id} > div`).replaceChildren(...children.flat().filter(Boolean));
const muted = (text) => h("span.muted", {}, text);

function link(node, reader) { // a node's name, as what reads it has it, that leads to its turn
  const p = positionOf(node), name = operandName(node, reader);
  if (p === null || !placeOf.has(p)) return h("span.name", {}, name);
  return h("button.name", { title: expression(node), onclick: () => go(p, `you went to ${name}`) }, name);
}

// Grids of numbers --------------------------------------------------------------------------------------

const BLUE = "0,114,178", ORANGE = "213,94,0";

function tint(cell, x, largest) {
  if (!Number.isFinite(x)) { cell.classList.add("bad"); return; }
  if (x && largest) cell.style.backgroundColor = `rgba(${x > 0 ? BLUE : ORANGE},${(0.08 + 0.52 * Math.abs(x) / largest).toFixed(3)})`;
}

function rowsOf(a) {
  const shape = a.corner || a.shape;
  const columns = shape.length ? shape[shape.length - 1] : 1;
  const rows = [];
  for (let i = 0; i < a.data.length; i += columns) rows.push(Array.from(a.data.subarray(i, i + columns)));
  return rows;
}

function folded(a, transposed, parts) { // a long vector in several lines: of a cell's gates, one each
  const rows = rowsOf(a), count = a.data.length;
  if (rows.length === 1 && count > 8 && !a.corner) {
    const width = parts > 1 && count % parts === 0 && count / parts <= 12 ? count / parts : 8;
    return Array.from({ length: Math.ceil(count / width) }, (_, i) => rows[0].slice(i * width, (i + 1) * width));
  }
  return transposed && rows.length ? rows[0].map((_, j) => rows.map((row) => row[j])) : rows;
}

function grid(a, label, { transposed = false, of = null } = {}) {
  if (!a) return h("figure.grid", {}, h("div.nothing", {}, "nothing yet"), h("figcaption", {}, label));
  const rows = folded(a, transposed, of === null ? 0 : pieces(of));
  const largest = a.data.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);
  const small = rows.length > 12 || (rows[0] || []).length > 8 ? ".small" : rows.length > 4 ? ".dense" : "";
  const table = h(`table.heat${small}`, { "aria-label": `${label}, ${shapeOf(a.shape)}` }, rows.map((row) => h("tr", {}, row.map((x) => {
    const cell = h("td", { title: String(x) }, number(x));
    tint(cell, x, largest);
    return cell;
  }))));
  const part = a.corner ? ` (a corner of ${shapeOf(a.shape)})` : !transposed && rows.length > rowsOf(a).length ? ` (a row, in ${rows.length} lines)` : "";
  return h("figure.grid", {}, table, label || part ? h("figcaption", {}, `${label}${part}`) : null);
}

// Bars --------------------------------------------------------------------------------------------------

const DECADES = [-8, 2]; // of the logarithmic bars

function logBar(norm) {
  const at = Number.isFinite(norm) && norm > 0 ? (Math.log10(norm) - DECADES[0]) / (DECADES[1] - DECADES[0]) : norm > 0 ? 1 : 0;
  const bar = h("span.bar", { title: `on a logarithmic scale from 1e${DECADES[0]} to 1e${DECADES[1]}` }, h("i"));
  bar.firstChild.style.width = `${100 * Math.min(Math.max(at, 0), 1)}%`;
  return bar;
}

function counts(m) {
  const found = [["negative", "−"], ["zero", "0"], ["positive", "+"], ["infinite", "inf"], ["nan", "nan"]].filter(([key]) => m[key]);
  return h("span.counts", {}, found.map(([key, sign]) => h(`span${key === "nan" || key === "infinite" ? ".alarm" : ""}`, { "data-count": key }, `${m[key]} ${sign}`)));
}

function pips(count, expected) {
  const text = `${count} of ${expected} arrived`;
  return h("span.pips", { "data-arrived": count, "data-expected": expected }, expected <= 12 ? h("b", { "aria-hidden": "true" }, "●".repeat(count) + "○".repeat(expected - count)) : null, ` ${text}`);
}

// 1, 4 and 12: the place, the norms, why it stopped ---------------------------------------------------------

function showHere(p, reason) {
  const node = nodes[nodeAt(p)];
  const lines = [];
  const line = (label, ...content) => lines.push(h("dt", {}, label), h("dd", {}, ...content));
  line("node", h("b", { id: "node" }, bothNames(node.index)), node.op ? ` = ${expression(node.index)}` : `, ${expression(node.index)}`);
  const gate = [node.part && `gate ${node.part}`, node.role && `role ${node.role}`].filter(Boolean).join(", ");
  line("place", [node.time ? `t=${node.time} of ${D.times}` : "no time step", node.layer && `layer ${node.layer}`, gate].filter(Boolean).join(" · "));
  if (node.site) line("line", h("code", {}, node.site));
  line("value", `${shapeOf(node.shape)} ${node.dtype}`, node.saturated === null ? null : h("span", {}, `, ${Math.round(100 * node.saturated)}% saturated`));
  line("stopped", h("span", { id: "reason" }, reason));
  const upstream = p >= 0 ? gradient(node.index, p) : null;
  const made = value(node.index, p);
  const grids = [made && grid(made, "value", { of: node.index }), p >= 0 && (upstream || turn.has(node.index)) && grid(upstream, "gradient that arrived", { of: node.index })];
  const shown = p >= 0 ? upstream : made;
  const m = shown && measure(shown);
  fill("here", h("dl", {}, lines),
    m && h("p.measures", { id: "incoming" }, p >= 0 ? "gradient: norm " : "value: norm ", h("b", { title: String(m.norm), "data-norm": m.norm }, number(m.norm)), logBar(m.norm), counts(m)),
    h("div.grids", {}, grids.filter(Boolean)));
}

// 2 and 3: the rule with the numbers, and where it goes -------------------------------------------------------

const SIGNS = { diagonal: "⊙", jacobian: "·", linear: "·", matmul: "·" };
const FACTORS = { diagonal: "slope, element by element", jacobian: "local Jacobian" };

function showRule(p) {
  const step = steps.get(p);
  $("#rule h2").textContent = p < 0 ? "How the value is computed" : "The local rule, with the numbers";
  if (p < 0) { fill("rule", computed(nodes[nodeAt(p)])); return; }
  if (!step) { fill("rule", muted("The walk back starts at the loss; go one step on.")); return; }
  const upstream = array(step.gradient);
  const replaced = step.replaced ? [muted(`This gradient was replaced by a ${step.replaced}. `)] : [];
  if (!step.sent.length) {
    fill("rule", replaced, muted("This is where the gradient ends: it is finished, and flows no further."));
    return;
  }
  fill("rule", replaced, step.sent.map((sent, index) => operand(p, index, sent, upstream)));
}

function computed(node) { // in the forward pass: the operands' values, and the result
  const operands = node.operands.map((x) => (typeof x === "number" ? h("div.given", {}, link(x, node.index), grid(array(nodes[x].value), "", { of: x })) : h("div.given", {}, x)));
  return h("article.operand", {}, h("h3", {}, h("span", {}, node.name, " = ", expression(node.index))),
    h("div.equation", {}, operands.flatMap((x, i) => (i ? [h("span.sign", {}, ","), x] : [x])), h("span.sign", {}, "→"), h("div.given", {}, h("b", {}, node.name), grid(array(node.value), "", { of: node.index }))));
}

function otherName(p, sent) { // what a product's gradient is multiplied with
  const { node } = steps.get(p);
  return operandName(nodes[node].operands[1 - sent.slot], node);
}

// Formulas -----------------------------------------------------------------------------------------------

function math(tag, ...children) {
  const element = document.createElementNS("http://www.w3.org/1998/Math/MathML", tag);
  element.append(...children);
  return element;
}

function typeset(text) { // "f_3" as f with a 3 below it, "(f_4 ⊙ c_3)" piece by piece
  const parts = text.split(/([()⊙⊘+−…]| )/).filter((part) => part.trim());
  const letter = (word) => math(/^\d+$/.test(word) ? "mn" : word.length === 1 ? "mi" : "mtext", word);
  return math("mrow", ...parts.map((part) => {
    if (/^[()⊙⊘+−…]$/.test(part)) return math("mo", part);
    const found = /^(.+)_(\d+(?::\d+)?)(ᵀ?)$/.exec(part) || /^(.+?)_(\w+)(ᵀ?)$/.exec(part); // cross_entropy_5, W_hh
    if (!found) return letter(part);
    const [base, below] = [letter(found[1]), letter(found[2])];
    return found[3] ? math("msubsup", base, below, math("mo", "⊤")) : math("msub", base, below);
  }));
}

function formulaOf(node, sent) { // a rule with the network's names at the places for them
  const formula = document.querySelectorAll("template")[sent.formula].content.firstElementChild.cloneNode(true);
  for (const place of formula.querySelectorAll("mtext")) {
    const found = /^⟨(#?)(\w+)⟩$/.exec(place.textContent);
    if (!found) continue;
    const slot = Number(found[2]);
    const operand = found[2] === "y" ? node.index : slot === sent.slot ? sent.target : node.operands[slot];
    const x = found[1] ? slot : operand; // "#12": node 12
    place.replaceWith(typeof x === "number" ? typeset(operandName(x, node.index)) : math("mn", String(x)));
  }
  return formula;
}

function multiplied(p, sent, upstream, contribution) { // the factors, so turned that their product is what is sent
  const other = array(sent.factor), second = sent.slot === 1;
  let gradientTurned = false, otherTurned = false, resultTurned = false, otherFirst = false;
  if (sent.kind === "linear") gradientTurned = second; // y = a bᵀ: dL/da = dL/dy b, dL/db = dL/dyᵀ a
  if (sent.kind === "matmul") { // y = a b: dL/da = dL/dy bᵀ, dL/db = aᵀ dL/dy; of a matrix and a vector, b and y are columns
    const [a, b] = (second ? [other, contribution] : [contribution, other]).map((x) => x.shape.length);
    gradientTurned = a === 2 && b === 1;
    resultTurned = gradientTurned && second;
    otherTurned = second ? a === 2 || (a === 1 && b === 2) : b === 2;
    otherFirst = second;
  }
  const label = FACTORS[sent.kind] || `${otherName(p, sent)}${otherTurned || (gradientTurned && sent.kind === "matmul") ? "ᵀ" : ""}`;
  const factors = [grid(upstream, "upstream gradient", { transposed: gradientTurned, of: nodeAt(p) }), grid(other, label, { transposed: otherTurned })];
  const [left, right] = otherFirst ? factors.reverse() : factors;
  return [left, h("span.sign", {}, SIGNS[sent.kind]), right, h("span.sign", {}, "="), grid(contribution, "contribution", { transposed: resultTurned, of: sent.target })];
}

function operand(p, index, sent, upstream) {
  const list = arrivalsAt(sent.target);
  const at = list.findIndex((event) => event.step === p && event.index === index);
  const before = summed(sent.target, at), after = summed(sent.target, at + 1);
  const contribution = array(sent.value);
  const [incoming, outgoing] = [measure(upstream).norm, measure(contribution).norm];
  const ratio = incoming && Number.isFinite(incoming) && Number.isFinite(outgoing) ? outgoing / incoming : null;
  const alone = sent.factor === null || (sent.kind === "diagonal" && array(sent.factor).data.every((x) => x === 1));
  const product = alone ? [grid(upstream, "upstream gradient", { of: nodeAt(p) }), h("span.sign", {}, "→"), grid(contribution, "contribution", { of: sent.target })]
    : multiplied(p, sent, upstream, contribution);
  return h("article.operand", { "data-slot": sent.slot },
    h("h3", {}, "to ", link(sent.target, steps.get(p).node), " ", h("span.formula", {}, formulaOf(nodes[steps.get(p).node], sent)),
      h("span.measures", {}, "norm ", h("b", { title: String(outgoing), "data-norm": outgoing }, number(outgoing)), ratio === null ? null : h("span", { "data-ratio": ratio }, ` (× ${number(ratio)})`), logBar(outgoing), counts(measure(contribution)))),
    h("div.equation", {}, product),
    h("div.equation.sum", {}, h("span.label", {}, "its gradient"), grid(before, "before", { of: sent.target }), h("span.sign", {}, "+"), h("span.sign.muted", {}, "contribution"), h("span.sign", {}, "→"), grid(after, "after", { of: sent.target }), pips(at + 1, list.length)));
}

// 11: the frontier ------------------------------------------------------------------------------------------

function showFrontier(p) {
  const groups = { done: [], ready: [], waiting: [], unreached: [] };
  for (const node of shipped) {
    const found = !turn.has(node) ? "none" : statusOf(node) === "current" ? (turn.get(node) <= p ? "done" : "ready") : statusOf(node);
    if (groups[found]) groups[found].push(node);
  }
  if (p < 0) { fill("frontier", muted("The walk back has not begun.")); return; }
  const total = Object.values(groups).reduce((sum, list) => sum + list.length, 0);
  const bar = h("div.stack", { "aria-hidden": "true" }, Object.entries(groups).map(([key, list]) => {
    const part = h(`i.${key}`);
    part.style.width = `${100 * list.length / total}%`;
    return part;
  }));
  const words = { done: "done", ready: "ready", waiting: "waiting", unreached: "not reached" };
  const listed = ["ready", "waiting"].filter((key) => groups[key].length).map((key) => h("p", {}, h("b", {}, `${words[key]}: `),
    groups[key].slice(0, 12).flatMap((node, i) => [i ? ", " : "", link(node), key === "waiting" ? ` (${arrived(node, p)} of ${arrivalsAt(node).length})` : ""]),
    groups[key].length > 12 ? ` and ${groups[key].length - 12} more` : ""));
  fill("frontier", D.whole ? null : h("p", {}, `of the ${total.toLocaleString("en")} nodes this page stops at:`), h("p.counted", {}, Object.entries(groups).map(([key, list]) => h("span", { "data-group": key, "data-count": list.length }, h("b", {}, String(list.length)), ` ${words[key]}`))), bar, listed);
}

function showNext(p) {
  const after = stops[placeOf.get(p) + 1];
  const ready = p < 0 ? [] : [...shipped].filter((node) => turn.has(node) && statusOf(node) === "ready" && node !== nodeAt(after ?? p)).slice(0, 6);
  fill("next", after === undefined ? h("p", {}, "Nothing: this is the end. ", h("kbd", {}, "←"), " goes back.")
    : h("p", {}, "Press ", h("kbd", {}, "→"), ", the right arrow key: ", h("button.name", { onclick: () => go(after, "one step on") }, sentenceAt(after))),
  ready.length ? h("p.after", {}, "Ready too, and taken up later: ", ready.flatMap((node, i) => [i ? ", " : "", link(node)])) : null);
}

// 10: the numerical check -----------------------------------------------------------------------------------

function showCheck(p) {
  if (!D.checks) { fill("check", muted("This walk is too large to have every rule checked in advance; the terminal's command check does it for one node.")); return; }
  const found = D.checks[p];
  if (!found && steps.get(p)?.sent.length) { fill("check", muted(D.absent)); return; }
  if (!found) { fill("check", muted("Nothing is sent on here; go to an operation in the walk back.")); return; }
  fill("check", steps.get(p).sent.map((sent, i) => {
    const [error, compared, passed, method] = found[i];
    return h("p", { "data-passed": passed }, "to ", link(sent.target), ": ", h(`b.${passed ? "good" : "alarm"}`, {}, passed ? "agrees" : "DIFFERS"),
      ` with the ${method}, ${compared} elements, largest difference ${number(plain(error))} of the largest element`);
  }));
}

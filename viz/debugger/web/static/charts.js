// What is seen along time: the ledger, norms, ways back, origins, Jacobians, clipping.

const heading = (layer) => (D.layers.length > 1 ? h("h3", {}, layer.name) : null); // whose numbers these are

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, x] of Object.entries(attributes)) if (x !== null && x !== undefined) element.setAttribute(key, x);
  element.append(...children.flat().filter(Boolean));
  return element;
}

const WIDTH = 420;

function table(head, rows, marked) {
  return h("div.scroll", {}, h("table.rows", {}, h("thead", {}, h("tr", {}, head.map((x) => h("th", { scope: "col" }, x)))),
    h("tbody", {}, rows.map((row, i) => h(`tr${i === marked ? ".now" : ""}`, {}, row.map((x) => (x instanceof Node ? h("td", {}, x) : h("td", {}, x === null ? "" : String(x)))))))));
}

const exact = (x, key = "data-x") => h("span", { title: String(x), [key]: x }, number(x));
const orDots = (x) => (x === null || x === undefined ? muted("·") : exact(plain(x)));

// 5: the ledger of a shared weight ----------------------------------------------------------------------------

function showLedger(p) {
  const ledger = D.ledgers.find((entry) => String(entry.node) === $("#weight").value);
  if (!ledger) { fill("ledger", muted("No parameter receives a gradient.")); return; }
  const rows = ledger.rows.map(([time, label, uses, step, norm, share, running]) => ({ time, label, uses, step, norm: plain(norm), share: plain(share), running: plain(running), known: step <= p }));
  const now = p > 0 ? rows.findIndex((row) => row.step === p) : -1;
  const [count, expected] = [arrived(ledger.node, p), arrivalsAt(ledger.node).length];
  const timed = [...rows].sort((a, b) => (a.time || 0) - (b.time || 0));
  const total = count === expected ? h("span", {}, "gradient: norm ", h("b", { id: "total", "data-x": plain(ledger.total) }, number(plain(ledger.total)))) : null;
  const list = rows.length > 40 ? rows.filter((_row, i) => Math.abs(i - Math.max(now, 0)) < 12) : rows;
  fill("ledger", ledgerBars(timed, p),
    h("p", {}, pips(count, expected), total ? ", " : "", total),
    table(["from", "uses", "norm", "share", "running total"], list.map((row) => (row.known
      ? [row.label, row.uses, exact(row.norm, "data-norm"), row.share === null ? "" : h("span", { title: String(row.share), "data-share": row.share }, percent(row.share)), exact(row.running, "data-running")]
      : [row.label, row.uses, muted("not yet"), "", ""])), list.findIndex((row) => row.step === p && p > 0)));
}

function percent(share) { // as the terminal and pictures write it
  return `${share < 0 ? "−" : "+"}${(100 * Math.abs(share)).toFixed(1)}%`;
}

function ledgerBars(rows, p) {
  const height = 96, base = 58, step = WIDTH / Math.max(rows.length, 1), width = Math.max(step * 0.7, 1);
  const largest = Math.max(...rows.map((row) => (row.known && Number.isFinite(row.norm) ? row.norm : 0)), 1e-300);
  const most = Math.max(...rows.map((row) => Math.abs(row.share || 0)), 1e-300);
  const bars = rows.map((row, i) => {
    const x = i * step + (step - width) / 2;
    if (!row.known) return svg("rect", { class: "ghost", x, y: base - 4, width, height: 4 });
    const up = Number.isFinite(row.norm) ? 50 * row.norm / largest : 50;
    const down = row.share === null || !Number.isFinite(row.share) ? 0 : 22 * Math.abs(row.share) / most;
    return svg("g", { class: row.step === p ? "now" : null }, svg("title", {}, `${row.label}: norm ${number(row.norm)}, share ${row.share === null ? "unknown" : percent(row.share)}`),
      svg("rect", { class: Number.isFinite(row.norm) ? "norm" : "alarm", x, y: base - up, width, height: Math.max(up, 1) }),
      svg("rect", { class: row.share < 0 ? "minus" : "plus", x, y: base + 4, width, height: Math.max(down, 0.5) }));
  });
  const labels = rows.length > 24 ? [] : rows.map((row, i) => svg("text", { x: i * step + step / 2, y: height - 1 }, row.time ? String(row.time) : "–"));
  return svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": "above: norm of what each time step adds; below: its signed share; the table has the numbers" }, bars, labels);
}

// Gradient norms of the carried states along time ------------------------------------------------------------

function normOf(node, p) {
  const count = arrived(node, p);
  if (!count) return null;
  return measure(gradient(node, p)).norm;
}

function showNorms(p) {
  const found = D.layers.map((layer) => layerNorms(layer, p));
  fill("norms", D.layers.length ? found : muted("No state here is carried from one time step to the next."));
}

function layerNorms(layer, p) {
  if (!layer.states.length) return null; // of a collapsed walk they may all be left out
  const height = 110, times = layer.states.map(([time]) => time);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const x = (time) => 22 + (WIDTH - 30) * (last === first ? 0.5 : (time - first) / (last - first));
  const all = layer.states.map(([time, role, node]) => ({ time, role, node, norm: normOf(node, p) }));
  const logs = layer.states.map(([, , node]) => normOf(node, D.last)).filter((n) => n > 0 && Number.isFinite(n)).map(Math.log10);
  const top = logs.length ? Math.ceil(Math.max(...logs)) : 0;
  const bottom = Math.min(logs.length ? Math.floor(Math.min(...logs)) : -1, top - 1);
  const y = (norm) => 8 + (height - 26) * (top - Math.max(Math.log10(norm), bottom)) / (top - bottom);
  const lines = [...new Set(all.map((s) => s.role))].map((role) => {
    const points = all.filter((s) => s.role === role && s.norm !== null && s.norm > 0 && Number.isFinite(s.norm)).sort((a, b) => a.time - b.time);
    const path = points.map((s, i) => `${i ? "L" : "M"}${x(s.time).toFixed(1)} ${y(s.norm).toFixed(1)}`).join("");
    const dots = points.length > 80 ? [] : points.map((s) => svg("circle", { cx: x(s.time), cy: y(s.norm), r: 3.5, class: turn.get(s.node) <= p ? "known" : "partial", "data-node": s.node, "data-norm": s.norm }, svg("title", {}, `${nodes[s.node].name}: ${number(s.norm)}`)));
    return svg("g", { class: `line ${role === layer.state ? "h" : "c"}` }, svg("path", { d: path }), dots);
  });
  const here = nodes[nodeAt(p)].time;
  const cursor = here && here >= first && here <= last ? svg("line", { class: "cursor", x1: x(here), x2: x(here), y1: 2, y2: height - 14 }) : null;
  const marks = [top, bottom].map((power) => svg("text", { x: 0, y: y(10 ** power) + 3, class: "mark" }, `1e${power}`));
  const ticks = [first, last].map((time) => svg("text", { x: Math.min(x(time), WIDTH - 3.5 * `t=${time}`.length), y: height - 2 }, `t=${time}`));
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `gradient norms of layer ${layer.name} along time, logarithmic` }, marks, cursor, lines, ticks);
  const legend = h("p.key", {}, [...new Set(all.map((s) => s.role))].map((role) => h(role === layer.state ? "span.h" : "span.c", {}, `‖∂L/∂${role}‖`)));
  return h("div.layer", { "data-layer": layer.name }, heading(layer), legend, chart, gateRows(layer, here));
}

function gateRows(layer, here) { // they never change but for where we are
  const names = [...new Set(layer.gates.flatMap(([, gates]) => Object.keys(gates)))].sort();
  if (!names.length) return null;
  layer.rows = layer.rows || h("div.gates", {}, h("p", {}, "how much of each gate is saturated"), names.map((name) => gateRow(name, layer.gates)));
  layer.rows.querySelectorAll(".now").forEach((cell) => cell.classList.remove("now"));
  layer.rows.querySelectorAll(`[data-time="${here}"]`).forEach((cell) => cell.classList.add("now"));
  return layer.rows;
}

function gateRow(name, gates) {
  const step = (WIDTH - 24) / Math.max(gates.length, 1);
  const cells = gates.map(([time, flat], i) => svg("rect", {
    x: 22 + i * step, y: 1, width: Math.max(step - 1, 0.5), height: 12, class: "cell", "data-time": time, "fill-opacity": (0.06 + 0.9 * (flat[name] || 0)).toFixed(2), "data-flat": flat[name],
  }, svg("title", {}, `${name}, t=${time}: ${Math.round(100 * (flat[name] || 0))}% saturated`)));
  return svg("svg", { class: "chart row", viewBox: `0 0 ${WIDTH} 14`, role: "img", "aria-label": `gate ${name}: ${gates.map(([t, s]) => `t=${t} ${Math.round(100 * (s[name] || 0))}%`).slice(0, 12).join(", ")}` }, svg("text", { x: 4, y: 11, class: "mark" }, name), cells);
}

// 7: highway and the rest --------------------------------------------------------------------------------------

function showSplit(p) {
  let node = null;
  for (let i = placeOf.get(p); i >= 0 && stops[i] > 0 && node === null; i -= 1) if (D.splits[nodeAt(stops[i])]) node = nodeAt(stops[i]);
  if (node === null) { fill("split", muted("The walk has not come to a carried state yet.")); return; }
  const moment = [...D.splits[node]].reverse().find(([k]) => k <= p);
  const ways = Object.entries(moment[1]).map(([way, a]) => [way, array(a)]);
  const largest = Math.max(...ways.map(([, a]) => (a && Number.isFinite(measure(a).norm) ? measure(a).norm : 0)), 1e-300);
  const rows = ways.map(([way, a]) => {
    const bar = h("span.bar", {}, h("i"));
    if (a) bar.firstChild.style.width = `${100 * Math.min(measure(a).norm / largest, 1)}%`;
    return h("div.way", { "data-way": way }, h("span", {}, way), a ? exact(measure(a).norm, "data-norm") : muted("nothing"), bar, a && a.data.length <= 12 ? grid(a, "") : null);
  });
  fill("split", h("p", {}, "gradient of ", link(node), " by the way it came: ", nodes[node].role === "c" ? "along the cell state (highway, f ⊙ ∂L/∂c of the next step) or through h" : "from the next time step or from its own"), rows);
}

// 8: loss by origin -----------------------------------------------------------------------------------------------

function showTriangle(p) {
  const here = nodes[nodeAt(p)].time;
  const found = D.layers.map((layer) => {
    if (!layer.triangle) return muted(D.absent || "This walk is too long to be walked once for every time step; a shorter one shows it.");
    const states = new Map(layer.states.filter(([, role]) => role === layer.state).map(([time, , node]) => [time, node]));
    const origins = thin(Object.keys(layer.triangle).map(Number), here), times = thin([...states.keys()], here);
    const most = Math.max(...Object.values(layer.triangle).flatMap((row) => Object.values(row).map(plain)).filter(Number.isFinite), 1e-300);
    const head = h("tr", {}, h("th", {}), times.map((t) => h("th", { scope: "col", class: t === here ? "now" : null }, `${layer.state}${sub(t)}`)));
    const rows = origins.map((s) => h("tr", {}, h("th", { scope: "row" }, `L${sub(s)}`), times.map((t) => {
      const x = plain(layer.triangle[s][t]);
      const cell = h("td", { "data-s": s, "data-t": t });
      if (x === undefined) return cell;
      cell.classList.toggle("lit", s === t && t === here);
      cell.classList.toggle("column", t === here);
      if (!(turn.get(states.get(t)) <= p)) { cell.append(muted("…")); return cell; } // not reached: that is not 0
      cell.append(number(x));
      cell.title = String(x);
      cell.style.backgroundColor = `rgba(${BLUE},${(0.05 + 0.5 * Math.max(0, 1 + Math.log10(x / most) / 4)).toFixed(3)})`;
      return cell;
    })));
    return h("div", {}, heading(layer), h("div.scroll", {}, h("table.heat.triangle", { "aria-label": `how much of each loss reaches each state, layer ${layer.name}` }, h("thead", {}, head), h("tbody", {}, rows))));
  });
  fill("triangle", found.length ? [h("p", {}, "‖∂L", h("sub", {}, "s"), `/∂${new Set(D.layers.map((l) => l.state)).size > 1 ? "h" : D.layers[0].state}`, h("sub", {}, "t"), "‖: how much of the loss of step s reaches the state of step t"), ...found] : muted("No state here is carried."));
}

const sub = (n) => String(n).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d]);

function thin(times, here) { // as many as can be read, the current one among them
  const sorted = [...times].sort((a, b) => a - b);
  if (sorted.length <= 12) return sorted;
  return sorted.filter((t, i) => i % Math.ceil(sorted.length / 11) === 0 || t === here || i === sorted.length - 1);
}

// 6: recurrent Jacobians --------------------------------------------------------------------------------------------

function showGains(p) {
  const here = nodes[nodeAt(p)].time;
  const found = D.layers.map((layer) => {
    if (!layer.gains) return muted(D.absent || "The states are too wide for their Jacobians to be computed in advance; the terminal's command sv does it.");
    if (!layer.gains.length) return muted("There is only one time step.");
    const bounds = layer.gains.some((row) => row[3] !== null);
    const head = ["t", layer.joint ? "‖∂sₜ/∂sₜ₋₁‖" : `‖∂${layer.state}ₜ/∂${layer.state}ₜ₋₁‖`, layer.joint && `of ∂${layer.state}/∂${layer.state}`, bounds && "bound", "to the end", "its bound"].filter(Boolean);
    const [low, high] = [Math.max((here || 1) - 8, 0), (here || 1) + 8];
    const shown = layer.gains.filter(([t]) => layer.gains.length <= 16 || (t > low && t < high));
    const rows = shown.map(([t, sigma, alone, bound, product, limit]) => [String(t), orDots(sigma), ...(layer.joint ? [orDots(alone)] : []), ...(bounds ? [orDots(bound)] : []), orDots(product), orDots(limit)]);
    return h("div", { "data-layer": layer.name }, heading(layer), gainLine(layer.gains, here), table(head, rows, shown.findIndex(([t]) => t === here)));
  });
  fill("gains", found.length ? [h("p", {}, "largest singular values: how far one step back in time, and all of them from the end, can stretch a gradient"), ...found] : muted("No state here is carried."));
}

function gainLine(gains, here) {
  const height = 70, values = gains.flatMap((row) => [plain(row[4]), plain(row[5])]).filter((x) => x > 0 && Number.isFinite(x)).map(Math.log10);
  const top = Math.max(0.2, ...values), bottom = Math.min(-0.2, ...values);
  const x = (i) => 8 + (WIDTH - 16) * (gains.length === 1 ? 0.5 : i / (gains.length - 1)), y = (v) => 6 + (height - 12) * (top - Math.log10(v)) / (top - bottom);
  const path = (column) => gains.map((row, i) => [i, plain(row[column])]).filter(([, v]) => v > 0 && Number.isFinite(v)).map(([i, v], n) => `${n ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  const at = gains.findIndex(([t]) => t === here);
  return svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": "the product from the end along time, its bound dashed, logarithmic" },
    svg("line", { class: "one", x1: 0, x2: WIDTH, y1: y(1), y2: y(1) }), at < 0 ? null : svg("line", { class: "cursor", x1: x(at), x2: x(at), y1: 0, y2: height }),
    svg("path", { class: "bound", d: path(5) }), svg("path", { class: "product", d: path(4) }));
}

// 9: clipping -------------------------------------------------------------------------------------------------------

function showClip() {
  const threshold = Number($("#threshold").value);
  if (!(threshold >= 0) || $("#threshold").value === "") { fill("clip", muted("The largest norm is a number from 0 up.")); return; }
  const rows = D.ledgers.map(({ node, total }) => [node, plain(total)]);
  const norm = Math.hypot(...rows.map(([, n]) => n));
  const scale = Math.min(1, threshold / (norm + 1e-6));
  fill("clip", h("p", {}, "all gradients together, when the walk is over: norm ", h("b", { id: "clip-norm", "data-x": norm }, number(norm)), ", scale ", h("b", { id: "clip-scale", "data-x": scale }, number(scale)), scale < 1 ? "" : ": nothing is clipped"),
    table(["parameter", "before", "after"], rows.map(([node, n]) => [link(node), exact(n, "data-before"), exact(n * scale, "data-after")])));
}

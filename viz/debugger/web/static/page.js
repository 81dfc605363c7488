// The page: where we are, the picture, and everything that moves.

const HALL_SCALE = 2.1; // letters of more than 20 points
let position = 0, timer = null, detail = 0, zoom = null;
let statuses = new Map();

function statusOf(node) { // at the position we are at
  if (!statuses.has(node)) statuses.set(node, status(node, position));
  return statuses.get(node);
}

// The picture -----------------------------------------------------------------------------------------------

const pictures = D.pictures.map((picture) => {
  const root = $(`#picture-${picture.detail}`);
  const drawing = root.firstElementChild;
  const [, , width, height] = drawing.getAttribute("viewBox").split(" ").map(Number);
  const elements = drawing.querySelectorAll(".b"), lines = drawing.querySelectorAll(".e");
  const boxes = picture.boxes.map(([main, members, users, seen], i) => {
    const own = nodes[main].op ? members.filter((node) => nodes[node].op) : members; // not the weights it uses
    const box = { main, nodes: own, users, seen, element: elements[i], number: elements[i].querySelector(".n"), shown: "", text: "" };
    box.element.addEventListener("click", () => clicked(box));
    return box;
  });
  const into = new Map(); // {node: [[line, where it comes from]]}
  picture.edges.forEach((uses, i) => uses.forEach(([from, to]) => into.set(to, [...(into.get(to) || []), [lines[i], from]])));
  return { ...picture, root, drawing, width, height, boxes, into, lit: [] };
});

function clicked(box) {
  const node = [box.main, ...box.nodes].find((n) => positionOf(n) !== null && placeOf.has(positionOf(n)));
  if (node !== undefined) go(positionOf(node), `you clicked ${nodes[node].name}`);
  else $("#sentence").textContent = `${nodes[box.main].name} is a constant: neither pass stops at it.`;
}

function boxStatus(box) {
  if (box.seen.includes(nodeAt(position))) return "current"; // it only carries what this box holds
  if (box.users.length) { // a copy of a weight: what its time step contributes
    if (position < 0) return "computed";
    const sending = box.users.filter((user) => turn.has(user));
    if (box.nodes.includes(nodeAt(position))) return "current";
    if (!sending.length) return "none";
    return sending.every((user) => turn.get(user) <= position) ? "done" : sending.some((user) => turn.get(user) <= position) ? "waiting" : "unreached";
  }
  const known = D.whole ? box.nodes : box.nodes.filter((node) => shipped.has(node));
  const found = (known.length ? known : box.nodes).map(statusOf);
  if (found.includes("current")) return "current";
  if (position < 0) return found.includes("unreached") ? "unreached" : "computed";
  const moving = found.filter((x) => x !== "none");
  if (!moving.length) return "none";
  const main = known.includes(box.main) || !known.length ? statusOf(box.main) : "none";
  if (main !== "none" && main !== "unreached") return main; // the box bears its number, which is complete or is not
  if (moving.every((x) => x === "done")) return "done";
  if (moving.every((x) => x === "unreached")) return "unreached";
  return moving.includes("done") || moving.includes("waiting") ? "waiting" : "ready";
}

function boxNumber(box) {
  if (position < 0) {
    const made = value(box.main, position);
    return made && nodes[box.main].op ? (made.data.length === 1 ? number(made.data[0]) : `|·| ${number(measure(made).norm)}`) : "";
  }
  if (box.users.length) {
    const sent = box.users.filter((user) => turn.has(user) && turn.get(user) <= position && steps.has(turn.get(user))).flatMap((user) => steps.get(turn.get(user)).sent.filter((s) => box.nodes.includes(s.target)));
    return sent.length === 1 ? `∂ ${number(measure(array(sent[0].value)).norm)}` : "";
  }
  const found = turn.has(box.main) ? normOf(box.main, position) : null;
  return found === null ? "" : `∂ ${number(found)}`;
}

const SETTLED = new Set(["done", "unreached", "none", "computed"]); // whose number does not change

function showPicture() {
  const picture = pictures[detail];
  if (!picture) return;
  for (const box of picture.boxes) {
    const shown = boxStatus(box);
    if (shown === box.shown && SETTLED.has(shown)) continue;
    if (shown !== box.shown) {
      if (box.shown) box.element.classList.remove(box.shown);
      box.element.classList.add(shown);
      box.shown = shown;
    }
    if (box.number) {
      const text = boxNumber(box);
      if (text !== box.text) box.number.textContent = box.text = text;
    }
  }
  picture.lit.forEach((line) => line.classList.remove("lit", "receives"));
  picture.lit = [];
  const targets = new Set(position > 0 && steps.has(position) ? steps.get(position).sent.map((sent) => sent.target) : position < 0 ? nodes[nodeAt(position)].operands : []);
  for (const [line, from] of picture.into.get(nodeAt(position)) || []) {
    if (targets.has(from)) { line.classList.add("lit"); picture.lit.push(line); }
  }
  for (const box of picture.boxes) { // what this step adds to
    if (position <= 0 || box.shown === "current" || ![...box.nodes, ...box.seen].some((node) => targets.has(node))) continue;
    if (box.users.length && !box.users.includes(nodeAt(position))) continue;
    box.element.classList.add("receives");
    picture.lit.push(box.element);
  }
  follow(picture);
}

function follow(picture) { // keep the current box in sight
  const gaps = picture.drawing.querySelectorAll(".gap");
  const box = picture.boxes.find((b) => b.shown === "current") || (gaps.length && { element: gaps[0], left: true });
  const stage = $("#stage");
  gaps.forEach((gap) => gap.classList.toggle("current", Boolean(box.left)));
  if (!box || (stage.scrollWidth <= stage.clientWidth && stage.scrollHeight <= stage.clientHeight)) return;
  const [a, b] = [stage.getBoundingClientRect(), box.element.getBoundingClientRect()];
  if (b.left < a.left + 60 || b.right > a.right - 60) stage.scrollLeft += (b.left + b.right - a.left - a.right) / 2;
  if (b.top < a.top + 20 || b.bottom > a.bottom - 20) stage.scrollTop += (b.top + b.bottom - a.top - a.bottom) / 2;
}

function resize() {
  const picture = pictures[detail], stage = $("#stage");
  if (!picture) return;
  const fits = stage.clientWidth / picture.width;
  const width = fits < 0.55 ? 0.9 : Math.min(fits, 1.4); // a long sequence is scrolled, not shrunk
  const large = document.body.classList.contains("hall"); // one time step that can be read from afar, and its rule
  const share = large ? 0.4 : innerWidth < 1200 ? 0.42 : 0.56; // of a narrow window the rule has to be seen too
  stage.style.height = `${Math.min(Math.max(picture.height * width + 4, 240), Math.max(share * innerHeight, 240))}px`;
  const whole = Math.min(stage.clientWidth / picture.width, stage.clientHeight / picture.height);
  const usual = large ? Math.max(whole, HALL_SCALE) : Math.min(width, Math.max(stage.clientHeight / picture.height, 0.8)); // nor is a high one
  const scale = zoom === null ? usual : zoom === 0 ? whole : zoom;
  picture.scale = scale;
  picture.drawing.setAttribute("width", picture.width * scale);
  picture.drawing.setAttribute("height", picture.height * scale);
  follow(picture);
}

function setZoom(factor) {
  if (!pictures.length) return;
  zoom = factor === 0 ? 0 : Math.min(Math.max(pictures[detail].scale * factor, 0.05), 4);
  resize();
}

function setDetail(i) {
  $("#detail").hidden = pictures.length < 2;
  $("#graph").hidden = !pictures.length;
  if (!pictures.length) return;
  detail = i % pictures.length;
  pictures.forEach((picture, n) => { picture.root.hidden = n !== detail; });
  $("#detail").textContent = { gate: "gates", op: "operations", cell: "cells" }[pictures[detail].detail];
  zoom = null;
  resize();
  showPicture();
}

// Moving ----------------------------------------------------------------------------------------------------

function nearest(p) {
  if (placeOf.has(p)) return p;
  return stops.reduce((best, stop) => (Math.abs(stop - p) < Math.abs(best - p) ? stop : best), stops[0]);
}

function go(p, reason, { quiet = false } = {}) {
  const target = nearest(Math.min(Math.max(p, D.first), D.last));
  position = target;
  statuses = new Map();
  document.body.classList.toggle("backward", position >= 0);
  showPicture();
  const reached = position === D.last ? "the walk back is over: every gradient is finished" : position === D.first ? "this is where the forward pass begins" : reason;
  showHere(position, reached);
  showRule(position);
  showLedger(position);
  showNorms(position);
  showSplit(position);
  showTriangle(position);
  showGains(position);
  showFrontier(position);
  showNext(position);
  showCheck(position);
  $("#sentence").textContent = sentenceAt(position);
  const slider = $("#slider"), time = nodes[nodeAt(position)].time;
  slider.value = placeOf.get(position);
  const phase = position < 0 ? `forward ${position - D.first + 1} of ${-D.first}` : position ? `step ${position} of ${D.last}` : "the loss";
  $("#position").textContent = `${phase}${time ? ` · t=${time}` : ""}`;
  slider.setAttribute("aria-valuetext", $("#position").textContent);
  document.querySelectorAll("#table tr.now").forEach((row) => row.classList.remove("now"));
  const row = $(`#table tr[data-p="${position}"]`);
  if (row) row.classList.add("now");
  if (!quiet) remember();
}

function remember() {
  try { history.replaceState(null, "", `#k=${position}`); } catch { /* a page inside a page has no address of its own */ }
}

const by = (count) => go(stops[Math.min(Math.max(placeOf.get(position) + count, 0), stops.length - 1)], count > 0 ? "one step on" : "one step back");
const byTime = (direction) => go(otherTime(position, direction), "another time step");

function fromAddress() {
  const match = /^#k=(-?\d{1,9})$/.exec(location.hash);
  return match ? Number(match[1]) : null;
}

function play(on) {
  clearInterval(timer);
  timer = on && position < D.last ? setInterval(() => { by(1); if (position >= D.last) play(false); }, Number($("#speed").value)) : null;
  $("#play").textContent = timer ? "❚❚" : "▶";
  $("#play").setAttribute("aria-label", timer ? "pause" : "play");
  $("#sentence").setAttribute("aria-live", timer ? "off" : "polite"); // nobody can listen that fast
}

function toOrigin() {
  if (D.origin) go(D.origin[0], "here the first number that is not finite appears");
  else $("#sentence").textContent = "Every value and every gradient is finite.";
}

function setTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  track();
}

const panels = [...document.querySelectorAll("#panels details")];

function setAll(open = !panels.every((panel) => panel.open || panel.hidden)) {
  panels.forEach((panel) => { panel.open = open; });
}

function setHall() {
  const large = document.body.classList.toggle("hall");
  $("#hall").setAttribute("aria-pressed", large);
  resize();
}

const setChecking = () => { $("#check").open = !$("#check").open; };

// The line under the slider: which time step each position is in -----------------------------------------------

function track() {
  const canvas = $("#track");
  canvas.width = Math.max(canvas.clientWidth, 1) * devicePixelRatio;
  const pen = canvas.getContext("2d"), width = canvas.width / stops.length, ink = getComputedStyle(canvas);
  stops.forEach((p, i) => {
    const time = nodes[nodeAt(p)].time;
    pen.fillStyle = p < 0 ? ink.getPropertyValue("--track-forward") : ink.getPropertyValue("--track-backward");
    pen.globalAlpha = p === 0 ? 1 : time ? 0.35 + 0.5 * (time % 2) : 0.15;
    pen.fillRect(i * width, 0, Math.ceil(width), canvas.height);
  });
}

// The table of all steps, for those who do not see the picture ------------------------------------------------

function showTable() {
  const box = $("#table .scroll");
  if (!$("#table").open || box.firstChild) return;
  const rows = stops.map((p) => {
    const node = nodeAt(p), at = p > 0 ? normOf(node, p) : null;
    const goTo = h("button.name", { onclick: () => go(p, "you went there") }, String(p));
    return h("tr", { "data-p": p, class: p === position ? "now" : null }, h("td", {}, goTo), h("td", {}, nodes[node].time ? String(nodes[node].time) : ""),
      h("td", {}, nodes[node].name), h("td", {}, expression(node)), h("td", {}, p > 0 ? number(at) : ""), h("td", {}, sentenceAt(p)));
  });
  box.append(h("table.rows", {}, h("thead", {}, h("tr", {}, ["step", "t", "node", "computed as", "gradient norm", "what happens"].map((x) => h("th", { scope: "col" }, x)))), h("tbody", {}, rows)));
}

// Controls ------------------------------------------------------------------------------------------------------

const ACTIONS = {
  start: () => go(D.first, "the start of the forward pass"), end: () => go(D.last, "the end"), step: () => by(1), back: () => by(-1),
  nextt: () => byTime(1), prevt: () => byTime(-1), play: () => play(!timer), detail: () => setDetail(detail + 1), theme: setTheme,
  help: () => $("#keys").showModal(), in: () => setZoom(1.25), out: () => setZoom(0.8), fit: () => setZoom(0), all: () => setAll(), hall: setHall,
};
const MOVES = new Set(["start", "end", "step", "back", "nextt", "prevt"]);
for (const [id, action] of Object.entries(ACTIONS)) $(`#${id}`).addEventListener("click", () => { if (MOVES.has(id)) play(false); action(); });

const KEYS = {
  ArrowRight: "step", ArrowLeft: "back", Home: "start", End: "end", " ": "play", d: "detail", l: "theme", "?": "help", "+": "in", "=": "in", "-": "out", 0: "fit", a: "all", p: "hall",
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("#keys").open) return;
  const at = event.target.tagName;
  if (at === "SELECT" || (at === "INPUT" && event.target.type !== "range")) return;
  if (event.key === " " && (at === "BUTTON" || at === "SUMMARY")) return;
  let action = ACTIONS[KEYS[event.key]];
  if (event.shiftKey && event.key === "ArrowRight") action = ACTIONS.nextt;
  if (event.shiftKey && event.key === "ArrowLeft") action = ACTIONS.prevt;
  if (event.key === "o") action = toOrigin;
  if (event.key === "c") action = setChecking;
  if (event.key === "s") action = () => go(0, "the start of the walk back");
  if (!action) return;
  event.preventDefault();
  if (event.key !== " ") play(false);
  action();
});

const slider = $("#slider");
slider.max = stops.length - 1;
slider.addEventListener("input", () => { play(false); go(stops[Number(slider.value)], "you moved the slider"); });
$("#speed").addEventListener("change", () => play(Boolean(timer)));
$("#weight").append(...D.ledgers.map(({ node }) => h("option", { value: node }, bothNames(node))));
const shared = [...D.ledgers].sort((a, b) => b.rows.length - a.rows.length || a.node - b.node)[0];
if (shared) $("#weight").value = (D.ledgers.find(({ node }) => /^W_hh|weight_hh/.test(nodes[node].name)) || shared).node;
$("#weight").addEventListener("change", () => showLedger(position));
$("#threshold").addEventListener("input", showClip);
$("#table").addEventListener("toggle", showTable);
addEventListener("resize", () => { resize(); track(); });
for (const panel of panels) panel.addEventListener("toggle", () => { $("#all").setAttribute("aria-pressed", panels.every((each) => each.open || each.hidden)); });
let closed = []; // what is printed is printed open, in a fitting size
addEventListener("beforeprint", () => { closed = panels.filter((panel) => !panel.open); setAll(true); });
addEventListener("afterprint", () => { closed.forEach((panel) => { panel.open = false; }); resize(); });
addEventListener("hashchange", () => { const p = fromAddress(); if (p !== null && p !== position) go(p, "the address says so"); });

const notices = [];
if (!D.whole) notices.push(`${D.nodeCount.toLocaleString("en")} nodes are too many to stop at each: this page stops at carried states, losses and weights only, at ${stops.length.toLocaleString("en")} of ${(D.last - D.first + 1).toLocaleString("en")} places${pictures.length ? "; the picture shows cells" : ", and draws no picture: tg.steps in the program says which time step is which"}.`);
if (D.every > 1) notices.push(`One time step in ${D.every} was recorded; of the others, what they brought.`);
if (D.origin) notices.push(`Not all numbers are finite (press o to go there): ${D.origin[2]}.`);
for (const [consumer, site] of D.cuts.slice(0, 1)) notices.push(`${nodes[consumer].name} reads a state that was cut out of the graph at ${site === null ? "an unknown line" : STRINGS[site]}: from there no gradient flows to the time step before${D.cuts.length > 1 ? `, and so ${D.cuts.length - 1} times more` : ""}.`);
$("#notice").classList.toggle("alarm", Boolean(D.origin || D.cuts.length));
$("#notice").textContent = notices.join(" ");
$("#notice").hidden = !notices.length;

if (!D.layers.length) for (const id of ["norms", "split", "triangle", "gains"]) $(`#${id}`).hidden = true; // nothing is carried

$("#whatif").hidden = !D.whatIf;
$("#whatif").textContent = D.whatIf;

const start = fromAddress();
setDetail(0);
showClip();
track();
go(start === null ? D.position : start, start === null ? "the page opens here" : "the address says so", { quiet: start === null });

"use strict";
// The page as slides: one topic a screen, and within it one figure at a time.
const steps = [...document.querySelectorAll("main section")].flatMap((section) => {
  const figures = [...section.querySelectorAll("figure")];
  return figures.length ? figures.map((figure) => [section, figure]) : [[section, null]];
});
const counter = document.getElementById("counter");
let at = -1; // -1: the page as it is

function show(step) {
  document.querySelectorAll(".now").forEach((element) => element.classList.remove("now"));
  const before = at;
  at = step < 0 ? -1 : Math.min(step, steps.length - 1);
  document.body.classList.toggle("slides", at >= 0);
  if (at < 0) {
    document.querySelectorAll(".told, .formula").forEach((told) => { told.style.fontSize = ""; });
    if (before >= 0) {
      history.replaceState(null, "", `#${steps[before][0].id}`);
      steps[before][0].scrollIntoView();
    }
    return;
  }
  const [section, figure] = steps[at];
  section.classList.add("now");
  section.classList.remove("stacked");
  if (figure) {
    const image = figure.querySelector("img");
    figure.classList.add("now");
    image.loading = "eager";
    // beside the text a long graph would be too small to read: it stands below, as wide as the screen
    section.classList.toggle("stacked", innerWidth > innerHeight && image.getAttribute("width") / image.getAttribute("height") > 2.2);
  }
  fit(section.querySelector(".told"));
  counter.textContent = `${at + 1} / ${steps.length}`;
  history.replaceState(null, "", `#slide-${at + 1}`);
}

function fit(told) { // all that is said has to be seen: a screen cannot be scrolled by an audience
  const formulas = [...told.querySelectorAll(".formula")];
  for (let size = 100; size >= 40; size -= 4) {
    told.style.fontSize = `${size}%`;
    formulas.forEach((formula) => { formula.style.fontSize = ""; });
    const part = Math.min(1, ...formulas.map((formula) => formula.clientWidth / formula.scrollWidth)); // of the widest there is room for
    if (part < 1) formulas.forEach((formula) => { formula.style.fontSize = `${Math.max(0.75, 1.1 * part - 0.03)}em`; }); // not all the text smaller
    const wide = formulas.some((formula) => formula.scrollWidth > formula.clientWidth + 1);
    if (!wide && told.scrollHeight <= told.clientHeight + 1 && told.scrollWidth <= told.clientWidth + 1) return;
  }
}

function start() {
  const here = steps.findIndex(([section]) => section.getBoundingClientRect().bottom > 80);
  show(Math.max(0, here));
}

const moves = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("summary")) return;
  if (at < 0) {
    if (event.key === "s") start();
    return;
  }
  if (event.key === "Escape" || event.key === "s") show(-1);
  else if (event.key === "f") document.body.classList.toggle("whole"); // the picture alone, for small letters in a large room
  else if (event.key in moves) show(Math.max(0, at + moves[event.key]));
  else if (event.key === "Home") show(0);
  else if (event.key === "End") show(steps.length - 1);
  else return;
  event.preventDefault();
});
addEventListener("resize", () => { if (at >= 0) fit(steps[at][0].querySelector(".told")); });
document.getElementById("present").addEventListener("click", () => show(0));
const asked = /^#slide-(\d+)$/.exec(location.hash);
if (asked) show(Number(asked[1]) - 1);

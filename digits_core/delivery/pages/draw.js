"use strict";
const paper = document.getElementById("paper");
const pen = paper.getContext("2d", { willReadFrequently: false });
const answer = document.getElementById("answer");
const remark = document.getElementById("remark");
const list = document.getElementById("digits");
const DELAY = 100; // milliseconds between requests while drawing
let strokes = 0, asking = false, again = false, timer = 0, round = 0;

function clear() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, paper.width, paper.height);
  strokes = 0;
  round += 1; // a response still on its way belongs to the old drawing
  answer.textContent = "\u00a0";
  remark.textContent = "\u00a0";
  list.replaceChildren();
}

function at(event) {
  const box = paper.getBoundingClientRect();
  return [(event.clientX - box.left) * paper.width / box.width, (event.clientY - box.top) * paper.height / box.height];
}

let last = null;
function line(event) {
  const to = at(event);
  pen.strokeStyle = "#111";
  pen.lineWidth = Number(document.getElementById("pen").value);
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...(last || to));
  pen.lineTo(...to);
  pen.stroke();
  last = to;
  strokes += 1;
  if (!timer) timer = setTimeout(() => { timer = 0; ask(); }, DELAY);
}

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  event.preventDefault();
  try { paper.setPointerCapture(event.pointerId); } catch { /* the pointer is already gone */ }
  last = null;
  line(event);
});
paper.addEventListener("pointermove", (event) => {
  if (last === null || !(event.buttons & 1)) return;
  for (const one of event.getCoalescedEvents?.() || []) line(one);
  line(event);
});
for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, () => { last = null; });

async function ask() {
  if (!strokes) return;
  if (asking) { again = true; return; }
  asking = true;
  const asked = round;
  try {
    const blob = await new Promise((done) => paper.toBlob(done, "image/png"));
    const response = await fetch("/predict", { method: "POST", headers: { "Content-Type": "image/png" }, body: blob });
    const said = await response.json();
    if (asked === round) response.ok ? show(said) : tell(said.error);
  } catch {
    if (asked === round) tell("no response: is `digits serve` still running?");
  } finally {
    asking = false;
    if (again) { again = false; ask(); }
  }
}

function tell(text) {
  remark.textContent = text;
  remark.classList.remove("doubtful");
}

function show(said) {
  answer.textContent = said.text;
  const doubtful = said.digits.filter((one) => one.unsure.length);
  remark.textContent = doubtful.length ? "unsure: " + doubtful.map((one) => (one.perhaps_none ? "no digit, or " : "") + one.unsure.join(" or ")).join("; ") : "\u00a0";
  remark.classList.toggle("doubtful", doubtful.length > 0);
  list.replaceChildren(...said.digits.map(row));
}

function row(one) {
  const item = document.createElement("li"), image = document.createElement("img"), bars = document.createElement("div");
  image.src = one.seen;
  image.alt = "What the network saw";
  bars.className = "bars";
  const order = one.probabilities.map((p, digit) => [p, digit]).sort((a, b) => b[0] - a[0]).slice(0, 3);
  for (const [p, digit] of order) {
    const name = document.createElement("strong"), meter = document.createElement("meter"), share = document.createElement("span");
    name.textContent = digit;
    meter.value = p;
    meter.setAttribute("aria-label", `probability of ${digit}`);
    share.textContent = (100 * p).toFixed(1) + " %";
    share.className = "share";
    bars.append(name, meter, share);
  }
  item.append(image, bars);
  return item;
}

document.getElementById("clear").addEventListener("click", clear);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") clear(); });
fetch("/model").then((response) => response.json()).then((said) => {
  document.getElementById("model").textContent =
    `${said.model}, ${said.networks === 1 ? "one network" : said.networks + " networks"} trained on ${said.trained_on}.`;
}).catch(() => {});
clear();

// Follows a pairing: the gateway streams how it stands, this fills it in.
"use strict";

const page = document.getElementById("pairing");
const qr = document.getElementById("qr");
const countdown = document.getElementById("countdown");
const collect = document.getElementById("collect");
const peer = document.querySelector("[data-peer]");
const away = document.getElementById("away");
const title = document.title;
const FINAL = new Set(["completed", "denied", "expired", "cancelled"]);

let nextCodeAt = performance.now() + 1000 * Number(countdown?.dataset.seconds ?? 0);

function put(slot, text) {
  for (const element of document.querySelectorAll(`[data-slot="${slot}"]`)) {
    if (element.textContent.trim() !== text) element.textContent = text;
  }
}

function show(standing) {
  const before = page.dataset.state;
  page.dataset.state = standing.state;
  page.dataset.decides = String(standing.decides);
  page.dataset.collects = String(standing.collects);
  for (const [slot, text] of Object.entries(standing)) put(slot, String(text));
  document.querySelector(".number").hidden = !standing.check_number;
  peer.hidden = !standing.peer_name;
  peer.dataset.peer = standing.nearness;
  if (qr && standing.qr) {
    nextCodeAt = performance.now() + 1000 * standing.seconds;
    if (standing.qr !== page.dataset.qr) qr.src = `${qr.src.split("?")[0]}?${standing.qr}`;
    page.dataset.qr = standing.qr;
  }
  if (standing.decides && before !== standing.state) document.getElementById("check_number").focus();
  if (standing.collects) collect.requestSubmit();
}

function answers(there) {
  away.hidden = there;
  document.title = there || title.startsWith("Error:") ? title : `Error: ${title}`;
}

function tick() {
  if (!countdown || page.dataset.state !== "pending") return;
  const seconds = Math.max(0, Math.ceil((nextCodeAt - performance.now()) / 1000));
  countdown.textContent = `A new code comes in ${seconds} second${seconds === 1 ? "" : "s"}.`;
}

const events = new EventSource(page.dataset.events);
events.addEventListener("message", (event) => {
  const standing = JSON.parse(event.data);
  answers(true);
  show(standing);
  if (FINAL.has(standing.state)) events.close();
});
events.addEventListener("lost", () => {
  events.close();
  setTimeout(() => location.reload(), 2000);
});
events.addEventListener("away", () => answers(false));
events.addEventListener("there", () => answers(true));
events.addEventListener("error", () => answers(false)); // this gateway is gone; the browser asks again
events.addEventListener("open", () => answers(true));
setInterval(tick, 1000);
tick();

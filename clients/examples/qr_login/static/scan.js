// The camera: a picture is sent to the gateway, which looks for a code in it, until there is one.
"use strict";

const PAUSE_MS = 500;
const WIDTH = 960; // pixels; enough for a code that fills a third of the picture

const camera = document.getElementById("camera");
const view = document.getElementById("view");
const seen = document.getElementById("seen");
const open = document.getElementById("open");
const upload = document.getElementById("upload");
const title = document.title;
const frame = document.createElement("canvas");

function picture() {
  frame.width = WIDTH;
  frame.height = Math.round((WIDTH * view.videoHeight) / view.videoWidth);
  frame.getContext("2d").drawImage(view, 0, 0, frame.width, frame.height);
  return new Promise((done) => frame.toBlob(done, "image/jpeg", 0.85));
}

async function look() {
  const form = new FormData();
  form.append("csrf", upload.elements.csrf.value);
  form.append("picture", await picture(), "frame.jpg");
  try {
    const answer = await fetch(upload.action, {
      method: "POST",
      body: form,
      headers: { accept: "application/json" },
    });
    return await answer.json();
  } catch {
    return { notice: "There is no answer. It is tried again." };
  }
}

async function watch() {
  for (;;) {
    const { next, notice } = await look();
    if (next) {
      location.assign(next);
      return;
    }
    if (notice && seen.textContent !== notice) seen.textContent = notice;
    await new Promise((done) => setTimeout(done, PAUSE_MS));
  }
}

async function start() {
  open.hidden = true;
  try {
    view.srcObject = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment" },
    });
    view.hidden = false;
    await view.play();
    await watch();
  } catch {
    view.srcObject?.getTracks().forEach((track) => track.stop());
    view.hidden = true;
    open.hidden = false;
    seen.textContent = "The camera cannot be used. Choose a picture instead.";
    document.title = `Error: ${title}`;
    document.getElementById("picture").focus();
  }
}

if (navigator.mediaDevices?.getUserMedia) {
  camera.hidden = false;
  document.getElementById("read").classList.remove("primary");
  open.addEventListener("click", start);
}

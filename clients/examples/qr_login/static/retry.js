// Goes on by itself as soon as the token service answers again.
"use strict";

const PAUSE_MS = 1000;
const again = document.getElementById("again");

async function look() {
  try {
    if ((await fetch(again.dataset.answers)).ok) {
      location.replace(again.href);
      return;
    }
  } catch {
    // This gateway does not answer either.
  }
  setTimeout(look, PAUSE_MS);
}

setTimeout(look, PAUSE_MS);

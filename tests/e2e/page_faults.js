// What a page must have, whoever reads it with whatever: gives what it lacks, null while it loads.
if (document.readyState !== "complete") return null;
const faults = [];
const named = (e) => e.labels?.length || e.ariaLabel || e.textContent.trim();
for (const e of document.querySelectorAll("input:not([type=hidden]), button, a")) {
  if (!named(e)) faults.push(e.outerHTML);
}
for (const e of document.querySelectorAll("img")) if (!e.alt) faults.push(e.outerHTML);
if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
if (!document.documentElement.lang) faults.push("no language");
if (document.documentElement.scrollWidth > innerWidth) faults.push("wider than the screen");
if (document.querySelector("[style], style, script:not([src])")) faults.push("inline");
const seen = (e) => e.checkVisibility();
const errors = Array.from(document.querySelectorAll("[role=alert]")).filter(seen);
if (document.title.startsWith("Error: ") !== errors.length > 0) faults.push("the title");
for (const e of document.querySelectorAll("[aria-describedby]")) {
  const told = document.getElementById(e.getAttribute("aria-describedby"));
  if (!told || !errors.includes(told)) faults.push(e.outerHTML);
}
const [first] = Array.from(document.querySelectorAll("main a, main button")).filter(seen);
const primary = Array.from(document.querySelectorAll("main .primary")).some(seen);
if (primary && !first.matches(".primary, .notice a, .choice button")) {
  faults.push(`first ${first.outerHTML}`);
}
// Contrast of text with the nearest ground, as WCAG counts it.
const parts = (colour) => colour.match(/[\d.]+/g).map(Number);
const light = (colour) => {
  const [r, g, b] = parts(colour).map((v) => v / 255).map(
    (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (e) => {
  const colour = e ? getComputedStyle(e).backgroundColor : "rgb(255, 255, 255)";
  return (parts(colour)[3] ?? 1) === 0 ? ground(e.parentElement) : colour;
};
for (const e of document.querySelectorAll("main *")) {
  if (!seen(e) || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
  const [dark, bright] = [light(getComputedStyle(e).color), light(ground(e))].sort((a, b) => a - b);
  if ((bright + 0.05) / (dark + 0.05) < 4.5) faults.push(`contrast ${e.outerHTML}`);
}
return faults;

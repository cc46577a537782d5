// Creates elements and updates them in place. Texts become text nodes: nothing here parses HTML, and styles are set as properties.

const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "path", "line", "circle", "g", "text", "title"]);

// h("button", {class: "chip", "data-do": "next"}, "Next"): creates an element; children that are null, undefined or false are left out.
export function h(tag, attributes = {}, ...children) {
  const made = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") made.style.cssText = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) made.append(child);
  }
  return made;
}

// A table that scrolls if it is too wide; names: of the columns; rows: elements.
export function tabled(names, rows) {
  const head = names.map((name) => h("th", { scope: "col" }, name));
  const made = h("table", { class: "mx-table" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
  return h("div", { class: "mx-scroll" }, made);
}

// Updates `old` to equal `fresh` and keeps equal elements, with their focus, scroll position and text that is being typed.
export function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.style && old.style.cssText !== fresh.style.cssText) old.style.cssText = fresh.style.cssText;
  for (const { name } of [...old.attributes]) if (name !== "style" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  const typed = old === document.activeElement && old.matches("input:not([type=range]), textarea");
  if (old.matches("input") && !typed && old.value !== (fresh.getAttribute("value") ?? "")) old.value = fresh.getAttribute("value") ?? "";
  if (old.matches("textarea")) {
    if (!typed && old.value !== fresh.value) old.value = fresh.value;
    return;
  }
  morphChildren(old, fresh);
  if (old.matches("select") && old.value !== fresh.value) old.value = fresh.value;
}

// Children are matched in order by tag name and data-key. Unmatched old ones are removed first, so that no matched one has to move.
function morphChildren(old, fresh) {
  const left = [...old.childNodes],
    wanted = [...fresh.childNodes];
  const like = (child) => {
    const place = left.findIndex((one) => one.nodeName === child.nodeName && one.dataset?.key === child.dataset?.key);
    return place < 0 ? null : left.splice(place, 1)[0];
  };
  const pairs = wanted.map((child) => [child, like(child)]);
  left.forEach((one) => one.remove());
  let place = old.firstChild;
  for (const [child, before] of pairs) {
    const stays = before ?? child;
    if (stays === place) place = place.nextSibling;
    else old.insertBefore(stays, place);
    if (before) morph(before, child);
  }
}

// Downloads a text as a file.
export function download(name, text, type) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Copies a text to the clipboard, if need be from a temporary field. Returns whether it was copied.
export async function copy(text, root) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = h("textarea", { class: "mx-away", "aria-hidden": "true" }),
      had = document.activeElement;
    root.append(field);
    field.value = text;
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    had?.focus();
    return done;
  }
}

export const percent = (value, digits = 1) => (value === null || Number.isNaN(value) ? "–" : value.toFixed(digits));
export const signed = (value, digits = 1) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
// Whether a model always, or never, answers at a threshold.
export const always = (threshold) => threshold > 1e6;
export const never = (threshold) => threshold < -1e6;

export const count = (value) => value.toLocaleString("en-US");

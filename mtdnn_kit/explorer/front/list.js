// The list of rows that pass the filters, virtualised: only visible rows are elements, each ROW pixels high.

import { headOf, LETTERS, titleOf } from "./data.js";
import { h } from "./dom.js";
import { FAVOURITES, pattern } from "./filters.js";

export const ROW = 60,
  AROUND = 8; // pixels; rows above and below the visible ones

// The visible rows of a list that is scrolled to `top` and `height` pixels high.
export function list(state, top, height) {
  const { shown } = state,
    first = Math.max(Math.floor(top / ROW) - AROUND, 0),
    last = Math.min(Math.ceil((top + height) / ROW) + AROUND, shown.length);
  const rows = shown.slice(first, last).map((i, k) => row(state, i, first + k));
  if (!shown.length) return h("div", { class: "mx-none" }, none(state));
  return h("div", { style: `height:${shown.length * ROW}px; position: relative`, role: "presentation" }, rows);
}

function row(state, i, place) {
  const { data, now } = state,
    open = i === state.open,
    star = state.notes.has(String(data.rows.id[i])) ? "★ " : "";
  const said = now.map((out, r) => `${LETTERS[r]} ${out.em[i] > 0 ? "right" : "wrong"}`).join(", ");
  return h(
    "div",
    {
      class: open ? "mx-row mx-open" : "mx-row",
      role: "option",
      id: `${state.id}-row-${i}`,
      "data-do": "open",
      "data-arg": i,
      "aria-selected": String(open),
      "aria-setsize": state.shown.length,
      "aria-posinset": place + 1,
      "aria-label": `${star}${headOf(data, i)} ${titleOf(data, i)}: ${said}`,
      style: `top:${place * ROW}px`,
    },
    h(
      "span",
      { class: "mx-row-text" },
      h("span", { class: "mx-row-head", dir: "auto" }, star, marked(headOf(data, i), pattern(state.text))),
      h("small", { class: "mx-dim" }, titleOf(data, i)),
    ),
    h(
      "span",
      { class: "mx-pips", style: `grid-template-columns: repeat(${now.length > 4 ? 3 : now.length}, auto)` },
      now.map((out, r) => h("span", { class: out.em[i] > 0 ? "mx-ok" : "mx-no" }, `${LETTERS[r]}${out.em[i] > 0 ? "✓" : "✗"}`)),
    ),
  );
}

// Why the list is empty.
export const none = (state) =>
  state.chosen.includes(FAVOURITES) && !state.notes.size
    ? "No favourites yet: press s at a question."
    : "No question passes these filters.";

// A text as pieces, with a pattern's hits marked.
export function marked(text, wanted) {
  if (!wanted) return [text];
  const pieces = [];
  let end = 0;
  for (const hit of text.matchAll(wanted)) {
    pieces.push(text.slice(end, hit.index), h("mark", { class: "mx-hit" }, hit[0]));
    end = hit.index + hit[0].length;
  }
  return [...pieces, text.slice(end)].filter((one) => one !== "");
}

// Scrolls the open row into view.
export function reveal(box, state) {
  const place = state.shown.indexOf(state.open);
  if (place < 0) return;
  if (place * ROW < box.scrollTop) box.scrollTop = place * ROW;
  else if ((place + 1) * ROW > box.scrollTop + box.clientHeight) box.scrollTop = (place + 1) * ROW - box.clientHeight;
}

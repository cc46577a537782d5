// The state of the page: the rows that pass, their order, the open row, the thresholds. Uses no element.

import { FAVOURITES, filtersOf, ordered, passing, search } from "./filters.js";
import { outcomesAt, tally } from "./scores.js";

export function begin(data, notes) {
  const last = data.runs.length - 1;
  const state = {
    data,
    notes: new Map(Object.entries(notes ?? {})),
    dropped: new Map(), // notes of rows that are no longer starred
    thresholds: data.runs.map((run, r) => data.thresholds?.[r] ?? run.tuned), // a shared page has the moved ones
    pair: [0, last],
    text: "",
    chosen: [...data.start],
    sort: data.runs.length > 1 ? "largest gap" : "as in the data",
    history: [],
    at: -1,
    open: null,
    edit: null,
    edits: new Map(), // by row: edits of rows that are not open, or are shown as they were
  };
  state.before = outcomesAt(
    data,
    data.runs.map((run) => run.tuned),
  );
  state.tallies = state.before.map((out) => tally(data, out));
  moved(state);
  return state;
}

// Recomputes the outcomes after thresholds were moved.
export function moved(state) {
  state.now = outcomesAt(state.data, state.thresholds);
  refilter(state, true);
}

export const isMoved = (state) => state.thresholds.some((one, r) => one !== state.data.runs[r].tuned);

// Recomputes the rows shown after a filter, text, sort order or favourite changed; stay: keep the open row even if it does not pass.
export function refilter(state, stay = false) {
  const { data, now } = state;
  state.filters = filtersOf(data, now, state.notes);
  state.chosen = state.chosen.filter((name) => state.filters.some((one) => one.name === name));
  state.found = search(data, now, state.text);
  const passes = passing(data, state.filters, state.chosen, state.found);
  state.shown = ordered(data, now, state.sort, state.pair).filter((i) => passes[i]);
  if (!state.shown.includes(state.open) && !(stay && state.open !== null)) {
    state.open = null;
    if (state.shown.length) visit(state, state.shown[0]);
  }
}

// Toggles a filter; it replaces another one of its set.
export function choose(state, name) {
  const setOf = (one) => state.filters.find((other) => other.name === one).set;
  const others = state.chosen.filter((one) => setOf(one) !== setOf(name));
  state.chosen = state.chosen.includes(name) ? others : [...others, name];
  refilter(state);
}

export function clear(state) {
  Object.assign(state, { text: "", chosen: [...state.data.start], open: null });
  refilter(state);
  if (state.shown.length) return;
  state.chosen = []; // at moved thresholds all may answer the same
  refilter(state);
}

// Leaves the edited question; beginning to edit the row again restores its text.
export function leaveEdit(state) {
  if (state.edit) state.edits.set(state.edit.row, state.edit);
  state.edit = null;
}

// Opens a row and adds it to the history.
export function visit(state, i) {
  if (state.open !== i) leaveEdit(state);
  state.open = i;
  if (state.history[state.at] !== i) {
    state.history = [...state.history.slice(0, state.at + 1), i];
    state.at = state.history.length - 1;
  }
}

// Opens the next (by 1) or previous (by −1) row shown; stops at the ends.
export function step(state, by) {
  const place = state.shown.indexOf(state.open),
    next = place < 0 ? 0 : Math.min(Math.max(place + by, 0), state.shown.length - 1);
  if (state.shown.length) visit(state, state.shown[next]);
}

// Moves back (−1) or forward (1) in the history.
export function travel(state, by) {
  if (state.open === null && by < 0 && state.at >= 0) return visit(state, state.history[state.at]); // if no row passes: to the last one
  if (state.history[state.at + by] === undefined) return;
  state.at += by;
  visit(state, state.history[state.at]);
}

export function favourites(state) {
  return state.filters.find((one) => one.name === FAVOURITES).mask.reduce((sum, one) => sum + one, 0);
}

// The comparison of two models: the difference with its interval and population, then one row per slice, which filters the list.

import { LETTERS } from "./data.js";
import { count, h, percent, signed, tabled } from "./dom.js";
import { gapOver, tally } from "./scores.js";
import { isMoved } from "./state.js";
import { movedNote } from "./moved.js";

export function compare(app) {
  const { state } = app,
    { data, pair } = state,
    [a, b] = pair;
  const select = (side, name) =>
    h(
      "select",
      { class: "mx-field", "data-change": "pair", "data-arg": side, "data-key": `pair ${side}`, "aria-label": name },
      data.runs.map((run, r) => h("option", { value: r, selected: r === pair[side] }, `${LETTERS[r]} ${run.name}`)),
    );
  const top = h("p", {}, select(1, "Model"), " compared with ", select(0, "The model it is compared with"));
  if (a === b) return [top, h("p", { class: "mx-dim" }, "Choose two different models.")];
  if (isMoved(state)) return [top, movedNote(state), plainGap(state, a, b)];
  const key = `${a},${b}`,
    found = app.comparisons.get(key);
  if (!found) app.compareTwo(a, b, key);
  if (!found) return [top, plainGap(state, a, b), h("p", { role: "status" }, "Intervals and slices are being computed …")];
  return [top, found.error ? h("p", { class: "mx-no", role: "alert" }, found.error) : made(state, found, a, b), filtered(state, a, b)];
}

// EM and F1 of both: moved thresholds have no interval and no p, because they were not chosen on held-out questions.
function plainGap(state, a, b) {
  const [one, two] = [a, b].map((r) => tally(state.data, state.now[r])),
    text = (name, key) => `${name} ${percent(one[key])} → ${percent(two[key])} (${signed(two[key] - one[key])})`;
  return h(
    "p",
    {},
    `${state.data.qa ? `${text("F1", "f1")}, ${text("EM", "em")}` : text("accuracy", "em")} over ${count(state.data.n)} rows. `,
    isMoved(state) ? "No interval and no p at moved thresholds." : "",
  );
}

function filtered(state, a, b) {
  if (state.shown.length === state.data.n || !state.shown.length) return null;
  return h(
    "p",
    { class: "mx-dim" },
    `Of the ${count(state.shown.length)} rows listed: ${state.data.qa ? "F1" : "accuracy"} ${signed(gapOver(state.data, state.now, a, b, state.shown))} points (no interval: they were selected by their answers).`,
  );
}

function made(state, found, a, b) {
  const other = found.other ? [`95 % interval, other ${found.other}`] : [];
  const head = ["score", LETTERS[a], LETTERS[b], "difference", "95 % interval", "p", ...other];
  const rows = found.scores.map((row) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, row.score),
      h("td", {}, percent(row.a)),
      h("td", {}, percent(row.b)),
      h("td", {}, signed(row.difference)),
      h("td", {}, ends(row)),
      h("td", {}, row.p === null ? "–" : p(row.p)),
      other.map(() => h("td", {}, ends({ low: row.other_low, high: row.other_high }))),
    ),
  );
  const slices = found.slices.length ? bySlice(state, found.slices, b) : null;
  return [
    h("p", { class: "mx-finding" }, found.sentence),
    h("p", { class: "mx-dim" }, found.population, partial(state)),
    tabled(head, rows),
    slices,
  ];
}

const partial = ({ data }) =>
  data.whole > data.n
    ? ` All figures are of the ${count(data.whole)} rows that the runs answered; this file holds ${count(data.n)}.`
    : null;

function bySlice(state, slices, b) {
  const said =
    "Choose a slice to list its questions with different answers. Whiskers are 95 % intervals; p is corrected for all slices (Holm). " +
    "An arrow: the interval is longer than the scale. Hollow: no interval, since passages or articles are too few, or all alike.";
  return [h("h3", {}, "By slice: F1, in points"), h("p", { class: "mx-dim" }, said), forest(state, slices, b)];
}

const ends = (row) => (row.low === null ? "–" : `${signed(row.low)} to ${signed(row.high)}`);
// Two digits; more where two would show a p below 0.05 as 0.05.
function p(value) {
  let digits = 2;
  while (digits < 17 && Number(value.toPrecision(digits)) < 0.05 !== value < 0.05) digits++;
  return value < 0.001 ? "< 0.001" : value.toPrecision(digits);
}

const WIDEST = 60; // points at the end of the scale, unless a difference is larger; an arrow marks an interval that is cut off there
const whisker = ({ low, high }, most) => `mx-whisker${low < -most ? " mx-cut-low" : ""}${high > most ? " mx-cut-high" : ""}`;

// The forest plot: for each slice a dot at its difference and a whisker for its interval, all on one scale.
function forest(state, slices, b) {
  const dots = slices.map((one) => Math.abs(one.difference)),
    reach = Math.max(5, ...dots, ...slices.flatMap((one) => [Math.abs(one.low ?? 0), Math.abs(one.high ?? 0)])),
    most = Math.min(reach, Math.max(WIDEST, ...dots));
  const at = (value) => 50 + (50 * Math.max(-most, Math.min(most, value))) / most;
  const rows = slices.map((one) => {
    const name = `${one.facet}: ${one.slice}`,
      on = state.chosen.includes(name);
    return h(
      "button",
      { class: on ? "mx-forest mx-on" : "mx-forest", "data-do": "slice", "data-arg": name, "data-key": name, "aria-pressed": String(on) },
      h("span", {}, name, " ", h("span", { class: "mx-dim" }, count(one.questions))),
      h(
        "span",
        { class: `mx-line-of mx-run-${b}`, "aria-hidden": "true" },
        h("i", { class: "mx-zero" }),
        one.low === null ? null : h("i", { class: whisker(one, most), style: `left:${at(one.low)}%;right:${100 - at(one.high)}%` }),
        h("b", { class: one.low === null ? "mx-dot mx-hollow" : "mx-dot", style: `left:${at(one.difference)}%` }),
      ),
      h(
        "span",
        {},
        signed(one.difference),
        " ",
        h(
          "span",
          { class: "mx-dim" },
          one.low === null ? "" : `[${signed(one.low)}, ${signed(one.high)}]${one.p === null ? "" : ` p ${p(one.p)}`}`,
        ),
      ),
    );
  });
  return h(
    "div",
    { class: "mx-forests" },
    rows,
    h(
      "div",
      { class: "mx-forest", "aria-hidden": "true" },
      h("span"),
      h(
        "span",
        { class: "mx-dim mx-scale" },
        [-most, 0, most].map((value) => h("span", {}, value ? signed(value, 0) : "0")),
      ),
    ),
  );
}

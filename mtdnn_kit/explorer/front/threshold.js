// Thresholds: each model's F1 by its threshold, with handles to drag, and the scores at moved thresholds.

import { LETTERS } from "./data.js";
import { count, h, percent, signed, tabled } from "./dom.js";
import { curveOf, tally } from "./scores.js";
import { movedNote } from "./moved.js";

const WIDTH = 640,
  HEIGHT = 220,
  LEFT = 44,
  BOTTOM = 34,
  TOP = 24,
  RIGHT = 24,
  POINTS = 240,
  APART = 22; // px between the centres of two handles

export function threshold(app) {
  const { state } = app,
    { data } = state,
    movable = data.runs.flatMap((run, r) => (run.tuned === null ? [] : [r]));
  if (!movable.length) return h("p", { class: "mx-dim" }, "These runs have no n-best lists, so their thresholds cannot be moved.");
  const frame = (state.frame ??= frameOf(data, movable));
  const whole = data.whole > data.n ? ` Scores are over the ${count(data.n)} questions in this file; the runs answered ${count(data.whole)}.` : "";
  return [
    movedNote(state),
    h("p", { class: "mx-dim" }, `A model answers where null − best is at most its threshold. Drag a handle, or type a threshold.${whole}`),
    h(
      "label",
      {},
      "Move all by ",
      h("input", {
        class: "mx-field mx-number",
        type: "number",
        step: "0.5",
        "data-change": "moveAll",
        "data-key": "all",
        value: app.moveAll ?? 0,
      }),
    ),
    picture(state, frame, movable),
    table(state),
  ];
}

// The plot's data and axes: curves, thresholds from `low` to `high`, F1 from `floor` to `top`.
function frameOf(data, movable) {
  const curves = new Map(movable.map((r) => [r, curveOf(data, r)])),
    all = movable.flatMap((r) => {
      const { levels } = curves.get(r);
      return [levels[Math.floor(levels.length * 0.02)] ?? 0, levels.at(-1) ?? 0];
    });
  const low = Math.floor(Math.min(...all, ...tunedOf(data, movable)) - 1),
    high = Math.ceil(Math.max(...all, ...tunedOf(data, movable)) + 1);
  const values = movable.flatMap((r) => [curves.get(r).start, ...curves.get(r).f1]);
  // large sets have too many values for arguments of Math.min
  const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  return { curves, low, high, floor: Math.floor(least / 5) * 5, top: Math.ceil(most / 5) * 5 };
}

const tunedOf = (data, movable) => movable.map((r) => data.runs[r].tuned).filter((one) => Math.abs(one) < 1e6);
const acrossOf = (frame, value) =>
  LEFT + ((Math.min(Math.max(value, frame.low), frame.high) - frame.low) / (frame.high - frame.low)) * (WIDTH - LEFT - RIGHT);
const upOf = (frame, value) => TOP + (1 - (value - frame.floor) / (frame.top - frame.floor || 1)) * (HEIGHT - TOP - BOTTOM);
// The threshold at x, a fraction of the plot's width.
export const thresholdAt = (frame, x) =>
  frame.low + ((Math.min(Math.max(x * WIDTH, LEFT), WIDTH - RIGHT) - LEFT) / (WIDTH - LEFT - RIGHT)) * (frame.high - frame.low);

function atThreshold(curve, value) {
  let from = 0,
    to = curve.levels.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if (curve.levels[middle] <= value) from = middle + 1;
    else to = middle;
  }
  return from ? curve.f1[from - 1] : curve.start;
}

// Ticks: at most eight integers between two values, in steps of 1, 2, 5, 10 …
function evenly(low, high) {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((one) => (high - low) / one <= 8) ?? high - low,
    first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, k) => (first + k) * step);
}

// Stacks handles that would overlap: [[x, y], drawn height] of each place.
function spread(places) {
  const drawn = [];
  for (const [x, y] of places) {
    const free = (to) => drawn.every(([[x1], to1]) => Math.abs(x - x1) >= APART || Math.abs(to - to1) >= APART);
    const heights = Array.from({ length: 4 * places.length + 1 }, (_, k) => y + APART * (k % 2 ? (k + 1) / 2 : -k / 2));
    drawn.push([[x, y], heights.find((to) => to > TOP && to < HEIGHT - BOTTOM && free(to)) ?? y]);
  }
  return drawn;
}

function picture(state, frame, movable) {
  const ticks = (low, high, n) => Array.from({ length: n + 1 }, (_, k) => low + ((high - low) * k) / n);
  const axis = [
    evenly(frame.floor, frame.top).map((v) => [
      h("line", { class: "mx-grid", x1: LEFT, x2: WIDTH - RIGHT, y1: upOf(frame, v), y2: upOf(frame, v) }),
      h("text", { x: LEFT - 6, y: upOf(frame, v) + 4, "text-anchor": "end" }, v.toFixed(0)),
    ]),
    evenly(frame.low, frame.high).map((v) =>
      h("text", { x: acrossOf(frame, v), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, v ? signed(v, 0) : "0"),
    ),
    h("text", { x: WIDTH / 2, y: HEIGHT - 3, "text-anchor": "middle" }, "threshold on null − best"),
    h("text", { x: 4, y: 11 }, "F1, %"),
  ];
  const drawn = movable.map((r) => {
    const curve = frame.curves.get(r),
      points = ticks(frame.low, frame.high, POINTS).map(
        (v) => `${acrossOf(frame, v).toFixed(1)} ${upOf(frame, atThreshold(curve, v)).toFixed(1)}`,
      );
    return h("path", { class: `mx-curve mx-run-${r}`, d: `M${points.join("L")}` });
  });
  const place = (r, v) => [acrossOf(frame, v), upOf(frame, atThreshold(frame.curves.get(r), v))],
    apart = spread(movable.map((r) => place(r, state.thresholds[r])));
  const stems = movable.map((r, k) => {
    const [[x, y], to] = apart[k];
    return h("line", { class: `mx-stem mx-run-${r}`, x1: x, x2: x, y1: y, y2: to });
  });
  const handles = movable.map((r, k) => {
    const value = state.thresholds[r],
      [[x], to] = apart[k],
      [x0, y0] = place(r, state.data.runs[r].tuned);
    return [
      h("circle", { class: `mx-ring mx-run-${r}`, cx: x0, cy: y0, r: 5 }),
      h(
        "g",
        {
          class: `mx-handle mx-run-${r}`,
          "data-drag": r,
          "data-key": `handle ${r}`,
          tabindex: 0,
          role: "slider",
          "aria-label": `Threshold of ${LETTERS[r]} ${state.data.runs[r].name}`,
          "aria-valuemin": frame.low,
          "aria-valuemax": frame.high,
          "aria-valuenow": value.toFixed(2),
          transform: `translate(${x.toFixed(1)} ${to.toFixed(1)})`,
        },
        h("circle", { r: 10 }),
        h("text", { "text-anchor": "middle", y: 4 }, LETTERS[r]),
      ),
    ];
  });
  const drawing = h(
    "svg",
    {
      class: "mx-figure",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      "data-figure": "threshold",
      role: "group",
      "aria-label": "F1 by threshold: one line per model, with a ring at its tuned threshold and a handle at the current one",
    },
    axis,
    drawn,
    stems,
    handles,
  );
  return h("div", { class: "mx-scroll" }, drawing);
}

function table(state) {
  const { data } = state,
    cell = (before, now, digits) =>
      Math.abs(now - before) < 10 ** -digits / 2
        ? [digits ? percent(now, digits) : count(now)]
        : [digits ? percent(before, digits) : count(before), " → ", h("b", {}, digits ? percent(now, digits) : count(now))];
  const rows = data.runs.map((run, r) => {
    const before = state.tallies[r],
      now = tally(data, state.now[r]),
      tuned = run.tuned;
    const field = always(state.thresholds[r])
      ? "always answers"
      : tuned === null
        ? "fixed"
        : h("input", {
            class: "mx-field mx-number",
            type: "number",
            step: "0.25",
            "data-change": "threshold",
            "data-arg": r,
            "data-key": `threshold ${r}`,
            "aria-label": `Threshold of ${LETTERS[r]} ${run.name}`,
            value: round(state.thresholds[r]),
          });
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, h("span", { class: `mx-letter mx-run-${r}` }, LETTERS[r]), ` ${run.name}`),
      h("td", {}, field),
      h("td", {}, cell(before.em, now.em, 1)),
      h("td", {}, cell(before.f1, now.f1, 1)),
      h("td", {}, cell(before.falseAnswers, now.falseAnswers, 0)),
      h("td", {}, cell(before.missed, now.missed, 0)),
    );
  });
  return tabled(["model", "threshold", "EM", "F1", "false answers", "missed"], rows);
}

export const round = (value) => (Math.abs(value) > 1e6 ? value : Number(value.toFixed(3)));

// Why this answer: a model's start and end probabilities by token, and the tokens on which its score depends. The kernel computes them.

import { LETTERS, passageOf, headOf } from "./data.js";
import { h } from "./dom.js";
import { movedNote } from "./moved.js";

export function why(app) {
  const { state } = app,
    r = app.whyRun ?? 0,
    key = app.whyKey(r),
    found = app.looked.get(key);
  if (state.open === null) return null;
  if (!found) app.look(r, key);
  const choice = h(
    "div",
    { class: "mx-choice", role: "group", "aria-label": "Model" },
    state.data.runs.map((run, k) =>
      h(
        "button",
        { class: k === r ? "mx-chip mx-on" : "mx-chip", "data-do": "why", "data-arg": k, "aria-pressed": String(k === r) },
        h("span", { class: `mx-letter mx-run-${k}` }, LETTERS[k]),
        ` ${run.name}`,
      ),
    ),
  );
  return [
    movedNote(state),
    choice,
    state.edit ? h("p", { class: "mx-dim" }, "Of the edited text.") : null,
    found ? shown(app, found, r) : h("p", { role: "status" }, "The model is being asked …"),
  ];
}

function shown(app, found, r) {
  if (found.error) return h("p", { class: "mx-no", role: "alert" }, found.error);
  const nothing = `start ${found.nothing[0].toFixed(2)}, end ${found.nothing[1].toFixed(2)}`;
  return [
    h("h3", {}, "Probability of an answer's start and end"),
    h(
      "p",
      { class: "mx-dim" },
      `Above a token: the probability that an answer starts there; below: that it ends there. No answer: ${nothing}.`,
    ),
    h("p", { class: "mx-tokens", dir: "auto" }, heat(found.passage, found.heat, r)),
    h("h3", {}, "What its score depends on"),
    h(
      "p",
      { class: "mx-dim" },
      "Gradient × input: a solid line raises the score of its answer, a dotted one lowers it; the stronger the line, the more.",
    ),
    h("p", { class: "mx-tokens", dir: "auto" }, salience(found.salience)),
  ];
}

// Tokens [start, end, p(start), p(end)] and the text between them; tokens that share a character become one, with the higher p.
function heat(passage, tokens, r) {
  const letters = [...passage],
    part = (a, b) => letters.slice(a, b).join(""),
    apart = [],
    pieces = [];
  for (const [a, b, p, q] of tokens) {
    const last = apart.at(-1);
    if (last && a < last[1]) apart[apart.length - 1] = [last[0], Math.max(last[1], b), Math.max(last[2], p), Math.max(last[3], q)];
    else apart.push([a, b, p, q]);
  }
  let end = 0;
  for (const [a, b, p, q] of apart) {
    if (a > end) pieces.push(part(end, a));
    pieces.push(
      p < 0.01 && q < 0.01
        ? part(a, b)
        : h(
            "span",
            {
              class: `mx-heat mx-run-${r}`,
              style: `--p:${p.toFixed(3)};--q:${q.toFixed(3)}`,
              title: `starts ${p.toFixed(2)}, ends ${q.toFixed(2)}`,
            },
            part(a, b),
          ),
    );
    end = b;
  }
  return [...pieces, part(end, letters.length)];
}

// The salience of tokens [text, part, value].
function salience(tokens) {
  const most = Math.max(...tokens.map(([, , value]) => Math.abs(value))) || 1;
  return tokens.flatMap(([text, part, value]) => [
    h(
      "span",
      {
        class: `mx-salient ${value < 0 ? "mx-down" : "mx-up"} ${part === "special" ? "mx-dim" : ""}`,
        style: `--share:${(Math.abs(value) / most).toFixed(3)}`,
        title: value.toPrecision(3),
      },
      text,
    ),
    " ",
  ]);
}

export const asked = (state) =>
  state.edit ? [state.edit.question, state.edit.passage] : [headOf(state.data, state.open), passageOf(state.data, state.open)];

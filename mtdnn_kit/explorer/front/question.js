// The open row: its position, the question, the passage with accepted answers and each model's answer marked, and one card per model.

import { cards } from "./cards.js";
import { headOf, labelsOf, LETTERS, passageOf, replyOf, titleOf } from "./data.js";
import { count, h } from "./dom.js";
import { pattern } from "./filters.js";
import { marked, none } from "./list.js";

export function question(app) {
  const { state } = app,
    { data, open: i } = state;
  if (i === null)
    return [
      h(
        "p",
        { class: "mx-none" },
        none(state),
        " ",
        h("button", { class: "mx-chip", "data-do": "clear", "data-key": "clear" }, "Reset filters"),
        " ",
        status(app),
      ),
    ];
  const replies = data.runs.map((_, r) => replyOf(data, state.now, r, i));
  return [
    head(app, i),
    state.edit
      ? editFields(state)
      : [
          h("h2", { dir: "auto", "data-key": "head" }, marked(headOf(data, i), pattern(state.text))),
          data.qa ? passage(state, i, replies) : texts(state, i, replies),
        ],
    note(state, i),
    legend(data),
    cards(app, i, replies),
  ];
}

function head(app, i) {
  const { state } = app,
    { data } = state,
    place = state.shown.indexOf(i),
    title = titleOf(data, i),
    id = String(data.rows.id[i]);
  const where = place < 0 ? "not in the filtered list" : `${count(place + 1)} of ${count(state.shown.length)}`;
  const arrow = (action, arg, sign, name, off) =>
    h(
      "button",
      { class: "mx-plain", "data-do": action, "data-arg": arg, "aria-label": name, title: name, "aria-disabled": off ? "true" : null },
      sign,
    );
  const saved = state.notes.has(id);
  return h(
    "div",
    { class: "mx-head" },
    h("span", { class: "mx-dim" }, title ? [topic(state, i, title), " · "] : null, h("span", { class: "mx-id" }, id), ` · ${where}`),
    h(
      "span",
      { class: "mx-tools" },
      arrow("travel", -1, "←", "Back ( [ )", state.at <= 0),
      arrow("step", -1, "↑", "Previous ( k )", place <= 0),
      arrow("step", 1, "↓", "Next ( j )", place < 0 ? !state.shown.length : place + 1 >= state.shown.length),
      arrow("travel", 1, "→", "Forward ( ] )", state.at + 1 >= state.history.length),
      h(
        "button",
        { class: "mx-plain", "data-do": "star", "data-key": "star", "aria-pressed": String(saved), title: "Save as a favourite ( s )" },
        saved ? "★ Saved" : "☆ Save",
      ),
      app.home === "file"
        ? h("button", { class: "mx-plain", "data-do": "link", "data-key": "link" }, "Copy link")
        : h("button", { class: "mx-plain", "data-do": "markdown", "data-key": "link" }, "Copy"),
      status(app),
    ),
  );
}

// The result of the last action, or its error.
const status = (app) => h("span", { class: "mx-dim", role: "status", "data-key": "said" }, app.said ?? "");

// The title; it filters by its topic if that has other questions.
function topic(state, i, title) {
  const name = state.data.rows.title[i],
    others = state.filters.some((one) => one.name === `topic: ${name}`);
  return others ? h("button", { class: "mx-plain", "data-do": "topic", "data-arg": name, title: `Only ${title}` }, title) : title;
}

function note(state, i) {
  const id = String(state.data.rows.id[i]);
  if (!state.notes.has(id)) return null;
  return h(
    "label",
    { class: "mx-note" },
    "★ Note ",
    h("input", {
      class: "mx-field",
      "data-change": "note",
      "data-arg": id,
      "data-key": `note ${id}`,
      value: state.notes.get(id),
      placeholder: "what to remember",
    }),
  );
}

// Question and passage as fields for editing in place.
function editFields(state) {
  const field = (name, label, rows) => {
    const made = h("textarea", {
      class: `mx-field mx-edit-${name}`,
      "data-type": "edit",
      "data-arg": name,
      "data-key": `edit ${name}`,
      "aria-label": label,
      rows,
      dir: "auto",
    });
    made.value = state.edit[name];
    return made;
  };
  return [
    field("question", "Question", 2),
    field("passage", "Passage", Math.min(Math.max(Math.ceil(state.edit.passage.length / 75), 4), 14)),
  ];
}

// The passage: accepted answers on gold, models' answers underlined, each in its own lane; equal answers share one.
function passage(state, i, replies) {
  const { data } = state,
    letters = [...passageOf(data, i)],
    golds = data.rows.golds[i],
    hits = found(passageOf(data, i), pattern(state.text)),
    lanes = new Map();
  replies.forEach((reply, r) => {
    if (reply.start === null) return;
    const span = `${reply.start} ${reply.end}`;
    lanes.set(span, { start: reply.start, end: reply.end, runs: [...(lanes.get(span)?.runs ?? []), r] });
  });
  const spans = [...lanes.values()],
    edges = new Set([0, letters.length, ...golds, ...hits, ...spans.flatMap((one) => [one.start, one.end])]);
  const cuts = [...edges].sort((a, b) => a - b),
    pieces = [];
  const gold = cuts.map((a, k) => k + 1 < cuts.length && within(golds, a, cuts[k + 1]));
  for (let k = 0; k + 1 < cuts.length; k++) {
    const [a, b] = [cuts[k], cuts[k + 1]];
    const frame = gold[k] && `mx-gold${gold[k - 1] ? " mx-goes-on-left" : ""}${gold[k + 1] ? " mx-goes-on-right" : ""}`; // one frame around all pieces
    pieces.push(piece(letters.slice(a, b).join(""), within(hits, a, b), frame, spans, a, b));
    const ending = spans.filter((one) => one.end === b).flatMap((one) => one.runs);
    if (ending.length)
      pieces.push(
        h(
          "span",
          { class: "mx-tags" },
          ending.map((r) => h("b", { class: `mx-tag mx-run-${r}` }, LETTERS[r])),
        ),
      );
  }
  return h("p", { class: "mx-passage", dir: "auto", style: `line-height:${1.75 + 0.28 * Math.max(spans.length - 1, 0)}` }, pieces);
}

// Whether [a, b) is inside one of the places [start, end, start, end, …].
const within = (places, a, b) => places.some((start, k) => k % 2 === 0 && start <= a && b <= places[k + 1]);

// Places of a pattern's hits in a text, in code points, as those of answers.
function found(text, wanted) {
  let [unit, point] = [0, 0];
  const pointAt = (next) => {
    point += [...text.slice(unit, next)].length;
    unit = next;
    return point;
  };
  return wanted ? [...text.matchAll(wanted)].flatMap((hit) => [pointAt(hit.index), pointAt(hit.index + hit[0].length)]) : [];
}

function piece(text, hit, gold, spans, a, b) {
  let made = hit ? [h("mark", { class: "mx-hit" }, text)] : [text];
  if (gold) made = [h("mark", { class: gold }, made)];
  spans.forEach((one, lane) => {
    if (one.start <= a && b <= one.end)
      made = [h("u", { class: `mx-under mx-run-${one.runs[0]}`, style: `padding-bottom:${1 + 5 * lane}px` }, made)];
  });
  return made;
}

// Sentences, or a text and its endings: each label or ending with the letters of the models that chose it, the right one on gold.
function texts(state, i, replies) {
  const { data } = state,
    gold = data.rows.gold[i];
  return [
    data.rows.texts[i].slice(1).map((text) => h("p", { class: "mx-passage", dir: "auto" }, marked(text, pattern(state.text)))),
    h(
      "ul",
      { class: "mx-labels" },
      labelsOf(data, i).map((name, k) =>
        h(
          "li",
          { dir: "auto" },
          k === gold ? h("mark", { class: "mx-gold" }, name) : name,
          h(
            "span",
            { class: "mx-tags" },
            replies.flatMap((reply, r) => (reply.label === k ? [h("b", { class: `mx-tag mx-run-${r}` }, LETTERS[r])] : [])),
          ),
        ),
      ),
    ),
  ];
}

function legend(data) {
  return h(
    "div",
    { class: "mx-legend mx-dim" },
    h(
      "span",
      {},
      h("mark", { class: "mx-gold" }, data.qa ? "accepted answer" : "right label"),
      data.qa ? "  underlined: a model's answer" : "  letters: the models that chose it",
    ),
    data.qa
      ? h("span", {}, "confidence to answer → ", h("b", { class: "mx-tick-sign" }), " its threshold")
      : h("span", {}, "probability of its label"),
  );
}

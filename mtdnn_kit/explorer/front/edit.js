// The user's own or an edited question and passage, and the models' answers to it.

import { same } from "./cards.js";
import { replyOf, surety } from "./data.js";
import { h } from "./dom.js";
import { movedNote } from "./moved.js";

// The tab of an edited question; its fields replace question and passage above.
export function edit(app) {
  const { state } = app;
  if (state.open === null) return null;
  const made = state.edit,
    button = (action, text, more = {}) => h("button", { class: "mx-chip", "data-do": action, "data-key": action, ...more }, text);
  if (!made) return button("begin-edit", "Edit question and passage ( e )");
  const flipped = made.replies ? made.replies.filter((reply) => reply.flipped).length : null;
  return [
    movedNote(state),
    h(
      "p",
      {},
      "Change question and passage above, or write your own; the cards show what each model answers then. ",
      button("ask", made.waiting ? "asking …" : "Ask ( Ctrl + Enter )", { class: "mx-chip mx-on" }),
      " ",
      button("empty-edit", "Start empty"),
      " ",
      button("undo-edit", "Undo the changes"),
      " ",
      button("end-edit", "Back to the original ( Esc )"),
    ),
    h(
      "p",
      { role: "status" },
      made.error
        ? h("span", { class: "mx-no", role: "alert" }, made.error)
        : isStale(made, state.thresholds)
          ? made.replies
            ? "Text or thresholds have changed since: ask again."
            : "The cards still show the answers to the original: ask."
          : flipped === null
            ? null
            : `${flipped} of ${made.replies.filter((reply) => !reply.error).length} answers flipped.`,
    ),
  ];
}

// Whether the answers on the cards are out of date: the texts have changed since or, if models were asked, the thresholds have.
export const isStale = (edit, thresholds) =>
  edit.question !== edit.asked[0] ||
  edit.passage !== edit.asked[1] ||
  Boolean(edit.replies && edit.at.some((one, r) => one !== thresholds[r]));

// Asks every model; the answers belong to the texts and thresholds at the time of the request.
export async function askModels(app) {
  const { state } = app,
    { edit: made, data, open: i } = state;
  if (!made || made.waiting) return;
  const { question, passage } = made,
    complete = question.trim() && passage.trim(),
    at = [...state.thresholds];
  Object.assign(made, { waiting: Boolean(complete), error: complete ? null : "A question and a passage are needed." });
  app.show();
  if (!complete) return;
  try {
    const thresholds = at.map((one, r) => (one === data.runs[r].tuned ? null : one));
    const { replies } = await app.ask("ask", { task: data.task, question, passage, thresholds });
    made.replies = replies.map((one, r) => (one.error ? one : replied(one, replyOf(data, state.now, r, i))));
    Object.assign(made, { asked: [question, passage], at });
  } catch (error) {
    made.error = String(error.message ?? error);
  }
  made.waiting = false;
  app.show();
}

function replied(one, before) {
  const reply = { ...one, none: one.text === "", ...surety(one.diff, one.threshold) };
  return { ...reply, flipped: !same(reply, before) };
}

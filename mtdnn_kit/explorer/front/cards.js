// One card per model: its answer, whether and how it is wrong, and its certainty as a bar with its threshold as a tick.

import { goldsOf, LETTERS } from "./data.js";
import { always, h, never, signed } from "./dom.js";
import { isStale } from "./edit.js";

export function cards(app, i, replies) {
  const { state } = app,
    { data } = state,
    golds = goldsOf(data, i),
    asked = state.edit?.replies,
    grey = state.edit && isStale(state.edit, state.thresholds);
  return h(
    "ul",
    { class: "mx-cards" },
    replies.map((reply, r) => {
      const now = asked?.[r],
        answer = now && !now.error ? now : reply;
      return h(
        "li",
        { class: grey ? "mx-card mx-grey" : "mx-card", "data-key": `card ${r}` },
        h("span", { class: `mx-letter mx-run-${r}` }, LETTERS[r]),
        h("span", { class: "mx-name", title: data.runs[r].name }, data.runs[r].name),
        h(
          "span",
          { class: "mx-answer", dir: "auto" },
          said(answer),
          now && !now.error ? flip(reply, now) : now?.error ? h("small", { class: "mx-no", role: "alert" }, ` ${now.error}`) : null,
        ),
        grey || now?.error
          ? h("span", { class: "mx-dim" }, grey ? "previous answer" : "not asked")
          : now
            ? h("span", {}, same(reply, now) ? "the same" : h("b", { class: "mx-flip" }, "⇄ flipped"))
            : verdict(data, reply, golds),
        sureness(data, answer, r),
      );
    }),
  );
}

const said = (reply) => (reply.none || reply.text === "" ? h("i", {}, "no answer") : reply.text);
export const same = (a, b) => (a.none ? "" : a.text).trim().toLowerCase() === (b.none ? "" : b.text).trim().toLowerCase();
const flip = (old, now) => (same(old, now) ? null : h("small", { class: "mx-dim" }, "was: ", said(old)));

function verdict(data, reply, golds) {
  const share = data.qa && reply.f1 > 0 && reply.f1 < 1 ? h("small", { class: "mx-dim" }, `F1 ${reply.f1.toFixed(2)}`) : null;
  const none = data.qa && !golds.length && reply.right ? h("small", { class: "mx-dim" }, "there is none") : null;
  return h(
    "span",
    { class: "mx-verdict" },
    h("span", { class: reply.right ? "mx-ok" : "mx-no" }, `${reply.right ? "✓" : "✗"} ${reply.kind}`),
    share ?? none,
  );
}

const reach = (threshold) =>
  always(threshold) ? "always answers" : never(threshold) ? "never answers" : `answers if at most ${signed(threshold, 2)}`;

// The bar of a model's certainty to answer, with a tick at its threshold; for other tasks, of the probability of its label.
function sureness(data, reply, r) {
  const value = data.qa ? reply.sure : reply.probability,
    tick = data.qa ? reply.mark : null;
  if (value === undefined || value === null) return h("span", { class: "mx-dim" }, "no n-best list");
  const name = data.qa ? `null − best ${signed(reply.diff, 2)}, ${reach(reply.threshold)}` : `probability ${value.toFixed(2)}`;
  return h(
    "span",
    { class: `mx-sure mx-run-${r}`, role: "img", "aria-label": name, title: name },
    h("i", { style: `width:${100 * value}%` }),
    tick === null ? null : h("b", { style: `left:calc(${100 * tick}% - 1px)` }),
  );
}

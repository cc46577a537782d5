// The tabs below the answers: alternatives, why, edit, thresholds, and the comparison of two models.

import { compare } from "./compare.js";
import { cut, labelsOf, LETTERS, passageOf } from "./data.js";
import { h } from "./dom.js";
import { edit } from "./edit.js";
import { movedNote } from "./moved.js";
import { threshold } from "./threshold.js";
import { why } from "./why.js";

const TABS = {
  alternatives: "Alternatives",
  why: "Why this answer",
  edit: "Try an edit",
  threshold: "Threshold",
  compare: "Compare two models",
};
const NEEDS_MODELS = ["why", "edit"];
const FEW = 5; // alternatives shown at first
const CONTENT = { alternatives, why, edit, threshold, compare };

export function tabs(app) {
  const { state } = app,
    all = state.data.qa ? Object.keys(TABS) : ["alternatives", "compare"],
    names = all.filter((name) => name !== "compare" || state.data.runs.length > 1);
  const open = names.includes(app.tab) ? app.tab : names[0];
  const tab = (name) => {
    const off = NEEDS_MODELS.includes(name) && app.lacks();
    return h(
      "button",
      {
        role: "tab",
        id: `${state.id}-tab-${name}`,
        class: "mx-tab",
        "data-do": "tab",
        "data-arg": name,
        "aria-selected": String(name === open),
        tabindex: name === open ? 0 : -1,
        "aria-controls": `${state.id}-panel`,
        title: off || null,
        "data-off": off ? "" : null,
      },
      TABS[name],
      off ? h("span", { class: "mx-away" }, ` (off: ${off})`) : null,
    );
  };
  return [
    h("div", { class: "mx-tabs", role: "tablist", "aria-label": "Details of the open row" }, names.map(tab)),
    h(
      "div",
      {
        class: "mx-panel",
        role: "tabpanel",
        id: `${state.id}-panel`,
        "data-key": open,
        "aria-labelledby": `${state.id}-tab-${open}`,
        tabindex: 0,
      },
      content(app, open),
    ),
  ];
}

function content(app, open) {
  const off = NEEDS_MODELS.includes(open) && app.lacks();
  return off ? h("p", { class: "mx-dim" }, off) : CONTENT[open](app);
}

// Each model's n-best list, including "no answer"; for other tasks the probability of each label.
function alternatives(app) {
  const { data, open: i, now } = app.state;
  if (i === null) return null;
  const columns = data.runs.map((run, r) => {
    const own = data.answers[r],
      found = [];
    if (!data.qa) own.p[i].forEach((p, k) => found.push({ p, text: labelsOf(data, i)[k] }));
    else if (own.best) {
      for (let k = 0; k < own.best[i].length; k += 3)
        found.push({ p: own.best[i][k + 2], text: cut(passageOf(data, i), own.best[i][k], own.best[i][k + 1]) });
      found.push({ p: own.none[i], text: null });
    }
    found.sort((a, b) => b.p - a.p);
    const some = app.allBest || !data.qa ? found : found.slice(0, FEW);
    return h(
      "div",
      { class: "mx-column" },
      h("h3", {}, h("span", { class: `mx-letter mx-run-${r}` }, LETTERS[r]), ` ${run.name}`),
      found.length
        ? h(
            "ol",
            {},
            some.map((one) =>
              h(
                "li",
                {},
                h("span", { class: "mx-p" }, one.p.toFixed(2)),
                " ",
                h("span", { dir: "auto" }, one.text ?? h("i", {}, "no answer")),
              ),
            ),
          )
        : h("p", { class: "mx-dim" }, "This run has no n-best list."),
    );
  });
  const hint = data.qa
    ? "Probabilities over a model's spans and “no answer”. Whether it answers is decided by its threshold on null − best."
    : "Probability of each label or ending.";
  const more = data.qa
    ? h(
        "button",
        { class: "mx-chip", "data-do": "best", "data-key": "best", "aria-pressed": String(Boolean(app.allBest)) },
        app.allBest ? "Fewer" : "All of them",
      )
    : null;
  const original = app.state.edit ? h("p", { class: "mx-dim" }, "Of the original question, not of the edited one.") : null;
  return [movedNote(app.state), original, h("p", { class: "mx-dim" }, hint), h("div", { class: "mx-columns" }, columns), more];
}

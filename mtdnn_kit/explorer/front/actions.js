// The handlers of clicks, changes and typing; each ends by rendering the page again.

import { headOf, passageOf } from "./data.js";
import { copy, download } from "./dom.js";
import { askModels, isStale } from "./edit.js";
import { FAVOURITES } from "./filters.js";
import { asJson, csv, markdown, part } from "./share.js";
import { choose, clear, leaveEdit, moved, refilter, step, travel, visit } from "./state.js";

const showing =
  (call) =>
  (app, ...rest) => {
    call(app.state, ...rest);
    app.show();
  };

export const actions = {
  open: showing((state, i) => visit(state, Number(i))),
  step: showing((state, by) => step(state, Number(by))),
  travel: showing((state, by) => travel(state, Number(by))),
  choose: showing(choose),
  clear: showing(clear),
  sort: (app, name) => {
    app.state.sort = name;
    app.state.open = null;
    refilter(app.state);
    close(app, "sort");
  },
  topic: showing((state, title) => {
    if (!state.chosen.includes(`topic: ${title}`)) choose(state, `topic: ${title}`);
  }),
  slice: showing(slice),
  random: showing((state) => {
    if (state.shown.length) visit(state, state.shown[Math.floor(Math.random() * state.shown.length)]);
  }),
  popup: (app, name) => (app.popup === name ? close(app, name) : open(app, name)),
  tab: (app, name) => {
    app.tab = name;
    for (const kept of [app.comparisons, app.looked]) kept.forEach((found, key) => found?.error && kept.delete(key)); // errors are requested again
    if (name === "edit" && app.state.data.qa && !app.lacks() && !app.state.edit) return actions["begin-edit"](app);
    app.show();
  },
  star,
  link: async (app) =>
    say(
      app,
      (await copy(
        `${location.href.split("#")[0]}#${[app.state.data.task, app.state.data.rows.id[app.state.open]].map(encodeURIComponent).join("/")}`,
        app.root,
      ))
        ? "copied"
        : "this browser blocks copying",
    ),
  markdown: async (app) =>
    say(app, (await copy(markdown(app.state, app.state.open), app.root)) ? "copied as Markdown" : "this browser blocks copying"),
  csv: (app, what) => {
    download(fileOf(app.state, what, "csv"), csv(app.state, placesOf(app.state, what)), "text/csv");
    close(app, "share");
  },
  page: sharePage,
  reset: (app) => {
    app.moveAll = 0;
    app.state.thresholds = app.state.data.runs.map((run) => run.tuned);
    moved(app.state);
    app.show();
  },
  best: (app) => {
    app.allBest = !app.allBest;
    app.show();
  },
  why: (app, r) => {
    app.whyRun = Number(r);
    app.show();
  },
  "begin-edit": (app) => {
    app.tab = "edit";
    if (app.state.open === null) return app.show();
    app.state.edit ??= app.state.edits.get(app.state.open) ?? begunEdit(app.state);
    app.show();
    app.root.querySelector('[data-key="edit question"]')?.focus();
  },
  "empty-edit": (app) => {
    app.state.edit = { ...begunEdit(app.state), question: "", passage: "" };
    app.show();
    app.root.querySelector('[data-key="edit passage"]').focus();
  },
  "end-edit": showing(leaveEdit),
  "undo-edit": showing((state) => {
    state.edit = begunEdit(state);
  }),
  ask: askModels,
};

export const changes = {
  task: (app, task) => app.openTask(task),
  note: (app, text, id) => {
    app.state.notes.set(id, text);
    return keepNote(app, id);
  },
  pair: (app, r, side) => {
    app.state.pair[side] = Number(r);
    refilter(app.state, true);
    app.show();
  },
  threshold: (app, text, r) => setThreshold(app, Number(r), text === "" ? NaN : Number(text)),
  moveAll: (app, text) => {
    app.moveAll = Number(text) || 0;
    app.state.thresholds = app.state.data.runs.map((run) => (run.tuned === null ? null : run.tuned + app.moveAll));
    moved(app.state);
    app.show();
  },
};

export const typed = {
  search: (app, text) => {
    Object.assign(app, { said: null });
    app.state.text = text;
    refilter(app.state);
    app.show();
  },
  narrow: (app, text) => {
    app.state.narrow = text;
    app.show();
  },
  edit: (app, text, name) => {
    const { edit, thresholds } = app.state,
      was = `${isStale(edit, thresholds)} ${edit.error}`;
    Object.assign(edit, { [name]: text, error: null });
    if (app.tab === "why" || `${isStale(edit, thresholds)} ${edit.error}` !== was) app.show();
  },
};

// Sets a threshold that was typed or dragged; the tuned one if it is not a number.
export function setThreshold(app, r, value) {
  app.moveAll = 0;
  app.state.thresholds[r] = Number.isFinite(value) ? value : app.state.data.runs[r].tuned;
  moved(app.state);
  app.show();
}

// The editing state of the open question; `asked`, `at`: the texts and, once models were asked, the thresholds that the answers on the
// cards belong to.
function begunEdit({ data, open: i }) {
  const [question, passage] = [headOf(data, i), passageOf(data, i)];
  return { row: i, question, passage, asked: [question, passage] };
}

function open(app, name) {
  app.popup = name;
  app.state.narrow = "";
  app.show();
  app.root.querySelector(".mx-popup input, .mx-popup button, .mx-help")?.focus();
}

export function close(app, name) {
  app.popup = null;
  app.show();
  app.root.querySelector(`[data-do="popup"][data-arg="${name}"]`)?.focus();
}

function say(app, text) {
  app.said = text;
  if (app.popup) close(app, app.popup);
  else app.show();
}

// Filters by a slice of the comparison of two models: its questions with different answers, without other filters.
function slice(state, name) {
  const [a, b] = [...state.pair].sort((x, y) => x - y),
    { runs } = state.data,
    both = [name, runs.length > 2 ? `${runs[a].name} and ${runs[b].name} differ` : "answers differ"],
    on = both.every((one) => state.chosen.includes(one)) && state.chosen.length === 2;
  Object.assign(state, { text: "", chosen: on ? [...state.data.start] : both });
  refilter(state);
}

async function star(app) {
  const { state } = app,
    id = String(state.data.rows.id[state.open]);
  if (state.open === null) return;
  const had = state.notes.get(id);
  if (had === undefined) state.notes.set(id, state.dropped.get(id) ?? "");
  else (state.dropped.set(id, had), state.notes.delete(id)); // starring the row again restores its note
  refilter(state, true);
  app.show();
  try {
    await keepNote(app, id);
  } catch (error) {
    if (had === undefined) state.notes.delete(id);
    else state.notes.set(id, had);
    refilter(state, true);
    throw error;
  }
}

async function keepNote(app, id) {
  const { state } = app;
  if (app.saved) {
    if (!app.saved.keep(state.data, state.notes)) say(app, "this browser stores no favourites: share them as a page, or they are lost");
  } else await app.ask("note", { task: state.data.task, id, note: state.notes.get(id) ?? null });
}

function placesOf(state, what) {
  const all = Array.from({ length: state.data.n }, (_, i) => i);
  if (what === "open") return [state.open];
  if (what === FAVOURITES) return all.filter((i) => state.notes.has(String(state.data.rows.id[i])));
  return what === "filter" ? [...state.shown] : all;
}

// The name of the exported rows: the filters and the searched text, all, favourites, or the id of the open row.
function nameOf({ data, chosen, text, open }, what) {
  if (what === "open") return String(data.rows.id[open]);
  return what === "filter" ? [...chosen, text.trim()].filter(Boolean).join(", ") || "all" : what;
}

// The name of the exported file; `safeName` as in replies.py.
const fileOf = (state, what, kind) => `${state.data.task}-${safeName(nameOf(state, what))}.${kind}`;

const safeName = (text) => [...text.replace(/[^\p{L}\p{N}_-]+/gu, "-")].slice(0, 60).join("") || "rows";

// Exports rows as a page: in Jupyter, Python writes it to the folder of the runs; a saved page exports a copy of itself with other data.
async function sharePage(app, what) {
  const places = placesOf(app.state, what),
    { data, thresholds } = app.state,
    ids = places.map((i) => data.rows.id[i]),
    name = nameOf(app.state, what);
  if (app.home === "jupyter") return say(app, (await app.ask("page", { task: data.task, ids, name, thresholds })).said);
  const about = [data.about, places.length < data.n && name].filter(Boolean).join("; ");
  const packed = new Blob([asJson({ ...part(app.state, places), about })]).stream().pipeThrough(new CompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
  let letters = "";
  for (let k = 0; k < bytes.length; k += 8192) letters += String.fromCharCode(...bytes.subarray(k, k + 8192));
  download(fileOf(app.state, what, "html"), pageOf(titleFor(data, about), data.task, btoa(letters)), "text/html");
  return say(app, `${places.length} saved`);
}

const titleFor = ({ runs, task }, about) => `Answers of ${runs.map((run) => run.name).join(", ")} to ${task}${about && `: ${about}`}`;

// The HTML of this page with another title and other data.
function pageOf(title, task, data) {
  const named = document.createElement("title");
  named.textContent = title;
  const text = (name) => document.querySelector(name).outerHTML,
    holder = document.createElement("script");
  holder.type = "application/gzip";
  holder.dataset.task = task;
  holder.textContent = data;
  const head = [...document.head.children]
    .filter((one) => one.matches("meta, style"))
    .map((one) => one.outerHTML)
    .join("");
  return `<!doctype html><html lang="en"><head>${head}${named.outerHTML}</head><body class="mx-page">${holder.outerHTML}${text("script[type=module]")}</body></html>`;
}

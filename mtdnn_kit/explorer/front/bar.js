// The toolbar: search, active filters, the menu of filters, sort order, number of rows shown, favourites, export.

import { count, h } from "./dom.js";
import { FAVOURITES, leaves, SORTS } from "./filters.js";
import { favourites, isMoved } from "./state.js";
import { LETTERS } from "./data.js";

export function bar(app) {
  const { state } = app,
    { data } = state,
    rows = data.qa ? "questions and passages" : "rows";
  const some = app.popup === "filter" ? state.filters : state.filters.filter((one) => state.chosen.includes(one.name));
  const counts = leaves(data, state.filters, state.chosen, state.found, some),
    starred = favourites(state);
  const search = h("input", {
    class: "mx-search",
    type: "search",
    "data-key": "search",
    "data-type": "search",
    "aria-label": "Search",
    value: state.text,
    placeholder: `Search ${count(data.n)} ${rows}  ( / )`,
  });
  return h(
    "div",
    { class: "mx-bar" },
    app.tasks.length > 1 ? taskMenu(app) : null,
    search,
    state.chosen.map((name) =>
      chip(name, `${name} · ${count(counts.get(name))} ×`, "choose", name, {
        "aria-label": `${name}, ${counts.get(name)}: remove this filter`,
      }),
    ),
    menu(app, "filter", "+ Filter", () => filterMenu(state, counts)),
    menu(app, "sort", `Sort: ${state.sort}`, () => sortMenu(state)),
    h("span", { class: "mx-dim", role: "status" }, `${count(state.shown.length)} of ${count(data.n)}`),
    isMoved(state) ? chip("moved", "thresholds moved · reset", "reset") : null,
    state.text || state.chosen.join() !== data.start.join() ? chip("clear", "Reset filters", "clear") : null,
    h(
      "button",
      {
        class: "mx-chip",
        "data-do": "choose",
        "data-arg": FAVOURITES,
        "data-key": "stars",
        "aria-pressed": String(state.chosen.includes(FAVOURITES)),
        "aria-label": `Favourites: ${starred}`,
      },
      `${starred ? "★" : "☆"} ${starred}`,
    ),
    menu(app, "share", "Share ▾", () => shareMenu(app, starred)),
    h(
      "button",
      {
        class: "mx-chip",
        "data-do": "popup",
        "data-arg": "help",
        "data-key": "help",
        "aria-label": "Keyboard shortcuts and symbols",
        "aria-expanded": String(app.popup === "help"),
      },
      "?",
    ),
    app.popup === "help" ? help(data.qa) : null,
  );
}

function chip(key, text, action, arg = null, more = {}) {
  return h("button", { class: "mx-chip mx-on", "data-do": action, "data-arg": arg, "data-key": `chip ${key}`, ...more }, text);
}

function menu(app, name, text, content) {
  const open = app.popup === name;
  return h(
    "span",
    { class: "mx-menu", "data-key": name },
    h("button", { class: "mx-chip", "data-do": "popup", "data-arg": name, "aria-haspopup": "dialog", "aria-expanded": String(open) }, text),
    open ? h("div", { class: "mx-popup", role: "dialog", "aria-label": text.replace(" ▾", "") }, content()) : null,
  );
}

function taskMenu(app) {
  const options = app.tasks.map((task) => h("option", { value: task, selected: task === (app.wanted ?? app.state.data.task) }, task));
  return h(
    "label",
    { class: "mx-dim" },
    "Task ",
    h("select", { class: "mx-field", "data-change": "task", "data-key": "task", "aria-label": "Task" }, options),
  );
}

const MOST = 40; // filters of a group that are shown at once; the others are found by name

function filterMenu(state, counts) {
  const groups = Map.groupBy(state.filters, (one) => one.group),
    plain = (text) => text.toLowerCase().replaceAll("_", " "), // titles have underscores in the data, and spaces on the page
    narrow = plain(state.narrow ?? "");
  const field = h("input", {
    class: "mx-field",
    type: "search",
    "data-type": "narrow",
    "data-key": "narrow",
    placeholder: "Find a filter",
    "aria-label": "Find a filter",
    value: state.narrow ?? "",
  });
  const parts = [...groups].map(([group, some]) => {
    const fit = some.filter((one) => (counts.get(one.name) || state.chosen.includes(one.name)) && plain(one.name).includes(narrow));
    return fit.length
      ? h(
          "fieldset",
          { class: "mx-group", "data-key": group },
          h("legend", {}, group),
          fit.slice(0, MOST).map((one) => option(state, counts, one)),
          fit.length > MOST ? h("span", { class: "mx-dim" }, `and ${count(fit.length - MOST)} more: find them by name above`) : null,
        )
      : null;
  });
  return [field, parts, parts.some(Boolean) ? null : h("p", { class: "mx-dim" }, "No filter with this name leaves any rows.")];
}

function option(state, counts, { group, name }) {
  const on = state.chosen.includes(name),
    short = name.startsWith(`${group}: `) ? name.slice(group.length + 2) : name;
  return h(
    "button",
    { class: on ? "mx-chip mx-on" : "mx-chip", "data-do": "choose", "data-arg": name, "data-key": name, "aria-pressed": String(on) },
    short,
    " ",
    h("span", { class: "mx-dim" }, count(counts.get(name))),
  );
}

function sortMenu(state) {
  const some = state.data.runs.length > 1 ? SORTS : SORTS.slice(2),
    of = (name) => (/sure/.test(name) ? ` (${LETTERS[state.pair[1]]})` : "");
  return some.map((name) =>
    h("button", { class: "mx-line", "data-do": "sort", "data-arg": name, "aria-pressed": String(name === state.sort) }, name, of(name)),
  );
}

function shareMenu(app, starred) {
  const left = app.state.shown.length,
    item = (action, arg, text, off = false) =>
      h("button", { class: "mx-line", "data-do": action, "data-arg": arg, "aria-disabled": off ? "true" : null }, text);
  return [
    h("div", { class: "mx-dim" }, "As a standalone HTML page"),
    item("page", FAVOURITES, `${starred} favourites`, !starred),
    item("page", "filter", `${count(left)} shown`, !left),
    item("page", "all", `all ${count(app.state.data.n)}`),
    h("div", { class: "mx-dim" }, "As a table (CSV)"),
    item("csv", FAVOURITES, `${starred} favourites`, !starred),
    item("csv", "filter", `${count(left)} shown`, !left),
    h("div", { class: "mx-dim" }, "The open row"),
    item("markdown", null, "Copy as Markdown", app.state.open === null),
    item("csv", "open", "Save as CSV", app.state.open === null),
  ];
}

const KEYS = [
  ["/", "search"],
  ["↓ ↑ or j k", "next, previous question"],
  ["[ ]", "back, forward"],
  ["Enter", "from the list into the question"],
  ["s", "save as a favourite"],
  ["r", "a question at random"],
  ["Esc", "close, or leave a field"],
  ["?", "this help"],
];
const EDIT_KEYS = [
  ["e", "try an edit"],
  ["Ctrl + Enter", "ask the models the edited question"],
];
const SIGNS = [
  ["right", "an exact match with an accepted answer, or no answer where there is none"],
  ["missed", "no answer, where there is one"],
  ["false answer", "an answer, where there is none"],
  ["too long", "holds an accepted answer and more"],
  ["cut off", "a part of an accepted answer"],
  ["overlapping", "partly overlaps an accepted answer"],
  ["elsewhere", "shares no character with an accepted answer"],
  ["wrong label", "other tasks: not the right label or ending"],
  [
    "bar and tick",
    "how sure a model is to answer, 1 / (1 + exp((null − best) / 4)), and its threshold: it answers where the bar reaches the tick",
  ],
];

function help(editable) {
  const list = (rows) =>
    h(
      "dl",
      {},
      rows.map(([key, text]) => [h("dt", {}, key), h("dd", {}, text)]),
    );
  return h(
    "div",
    { class: "mx-popup mx-help", role: "dialog", tabindex: 0, "aria-label": "Keyboard shortcuts and symbols" },
    h("h3", {}, "Keyboard shortcuts"),
    list(editable ? [...KEYS, ...EDIT_KEYS] : KEYS),
    h("h3", {}, "Symbols"),
    list(SIGNS),
  );
}

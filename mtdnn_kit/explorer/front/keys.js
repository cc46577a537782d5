// Keyboard shortcuts and dragging of handles. Only shortcuts that save reach the notebook: there, d d deletes the cell.

import { actions, close, setThreshold } from "./actions.js";
import { visit } from "./state.js";
import { thresholdAt } from "./threshold.js";

const SUPPRESS = "data-lm-suppress-shortcuts"; // JupyterLab's attribute
const STEPS = { ArrowLeft: -0.1, ArrowRight: 0.1, ArrowDown: -0.1, ArrowUp: 0.1, PageDown: -1, PageUp: 1 };
const FREE = {
  "/": (app) => app.root.querySelector(".mx-search").focus(),
  j: (app) => actions.step(app, 1),
  ArrowDown: (app) => actions.step(app, 1),
  k: (app) => actions.step(app, -1),
  ArrowUp: (app) => actions.step(app, -1),
  "[": (app) => actions.travel(app, -1),
  "]": (app) => actions.travel(app, 1),
  r: (app) => actions.random(app),
  s: (app) => actions.star(app),
  e: (app) => app.state.data.qa && actions.tab(app, "edit"),
  "?": (app) => actions.popup(app, "help"),
};

export function keys(app) {
  const { root } = app,
    saves = (event) => (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s";
  const heard = app.home === "file" ? document : root; // a page that was just opened has the focus on its body
  root.addEventListener("keydown", (event) => root.toggleAttribute(SUPPRESS, !saves(event)), true);
  heard.addEventListener("keydown", (event) => {
    if (saves(event)) return setTimeout(() => root.toggleAttribute(SUPPRESS, true));
    if (event.ctrlKey && event.altKey) return;
    event.stopPropagation();
    if (app.state && pressed(app, event)) event.preventDefault();
  });
  for (const name of ["keyup", "keypress"]) root.addEventListener(name, (event) => event.stopPropagation());
}

// Handles a shortcut; returns whether the key was one.
function pressed(app, event) {
  if (event.isComposing) return false; // keys of an input method
  const { key, target } = event,
    field = target.closest("input, textarea, select");
  if (key === "Enter" && (event.ctrlKey || event.metaKey) && app.state.edit) return Boolean(app.do(() => actions.ask(app)));
  if (key === "Escape") return escape(app, field);
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  if (target.closest("[data-drag]") && STEPS[key]) return nudge(app, Number(target.closest("[data-drag]").dataset.drag), STEPS[key]);
  if (target.closest("[role=tab]") && ["ArrowLeft", "ArrowRight"].includes(key)) return nextTab(app, target, key === "ArrowRight" ? 1 : -1);
  if (field) return field.matches(".mx-search") && ["ArrowDown", "Enter"].includes(key) && focusOn(app, ".mx-list");
  if (key === "Enter" && target.matches(".mx-list")) return focusOn(app, ".mx-main");
  if (target.matches(".mx-list") && ["Home", "End", "PageUp", "PageDown"].includes(key)) return leap(app, key);
  if (!FREE[key] || (app.popup && key !== "?")) return false;
  app.do(() => FREE[key](app));
  return true;
}

function focusOn(app, name) {
  app.root.querySelector(name).focus();
  return true;
}

function escape(app, field) {
  if (app.popup) close(app, app.popup);
  else if (field) app.root.querySelector(".mx-list").focus();
  else if (app.state.edit) actions["end-edit"](app);
  return true;
}

function nudge(app, r, by) {
  const { frame, thresholds } = app.state,
    inside = (value) => Math.min(Math.max(value, frame.low), frame.high);
  setThreshold(app, r, Number(inside(inside(thresholds[r]) + by).toFixed(3)));
  return true;
}

function nextTab(app, target, by) {
  const all = [...target.closest("[role=tablist]").children],
    next = all[(all.indexOf(target) + by + all.length) % all.length];
  app.tab = next.dataset.arg;
  app.show();
  app.root.querySelector("[role=tab][aria-selected=true]").focus();
  return true;
}

function leap(app, key) {
  const { state } = app,
    place = state.shown.indexOf(state.open),
    last = state.shown.length - 1;
  const to = { Home: 0, End: last, PageUp: Math.max(place - 8, 0), PageDown: Math.min(place + 8, last) }[key];
  if (last >= 0) visit(state, state.shown[to]);
  app.show();
  return true;
}

export function drags(app) {
  const { root } = app;
  let drawn = null;
  root.addEventListener("pointerdown", (event) => {
    const handle = event.target.closest("[data-drag]");
    if (!handle || event.button) return;
    drawn = Number(handle.dataset.drag);
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  root.addEventListener("pointermove", (event) => {
    if (drawn === null) return;
    const box = root.querySelector("[data-figure=threshold]").getBoundingClientRect();
    setThreshold(app, drawn, Number(thresholdAt(app.state.frame, (event.clientX - box.left) / box.width).toFixed(2)));
  });
  for (const name of ["pointerup", "pointercancel"]) root.addEventListener(name, () => (drawn = null));
}

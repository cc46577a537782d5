// The explorer: one front end for Jupyter and for standalone pages (homes.js). After each action the page is rendered again.

import { actions, changes, typed } from "./actions.js";
import { bar } from "./bar.js";
import { h, morph } from "./dom.js";
import { drags, keys } from "./keys.js";
import { list, reveal } from "./list.js";
import { question } from "./question.js";
import { begin, visit } from "./state.js";
import { tabs } from "./tabs.js";
import { asked } from "./why.js";

const READING = "The answers are being read …";
let number = 0;

// Builds the page in an element. home: "jupyter" or "file"; ask(kind, about): a promise of Python's reply; open(task): of a task's data.
// Resolves when the first task is shown, to the app; its `end` removes the listeners outside the element.
export async function mount(el, { home, tasks, ask, open, saved }) {
  const root = h("div", { class: "mtdnn-explorer", "data-lm-suppress-shortcuts": "true" });
  el.append(root);
  const app = { root, home, tasks, ask, tab: "alternatives", popup: null, comparisons: new Map(), looked: new Map(), saved };
  let latest = 0;
  app.show = () => show(app);
  app.follow = () => fromLink(app);
  app.openTask = async (task) => {
    const mine = ++latest;
    if (app.state) {
      Object.assign(app, { wanted: task, said: READING });
      app.show();
    }
    try {
      const data = await open(task);
      if (mine === latest) begun(app, data);
    } catch (error) {
      if (mine === latest) fail(app, error);
    }
  };
  addRequests(app);
  const reading = h("p", { class: "mx-none", role: "status" }, READING);
  const main = h(
    home === "file" ? "main" : "div",
    { class: "mx-main", role: home === "file" ? null : "region", tabindex: 0, "aria-label": "The open question", "data-key": "main" },
    reading,
  );
  root.append(
    h(
      "div",
      { class: "mx-app" },
      h("header", { class: "mx-top" }),
      h(
        "nav",
        { class: "mx-side", "aria-label": "Questions" },
        h("div", { class: "mx-list", role: "listbox", tabindex: 0, "aria-label": "Questions", "data-key": "list" }),
      ),
      main,
    ),
  );
  listen(app);
  await app.openTask(null);
  return app;
}

function begun(app, data) {
  const { kinds } = data;
  Object.assign(data, { missed: kinds.indexOf("missed"), correct: kinds.indexOf("right") });
  app.state = begin(data, app.saved?.read(data) ?? data.notes);
  app.state.id = `mx${++number}`;
  Object.assign(app, { wanted: null, said: null });
  app.comparisons = new Map(Object.entries(data.comparisons ?? {}));
  app.looked.clear();
  app.moveAll = 0;
  fromLink(app);
  app.show();
}

function fail(app, error) {
  const said = String(error.message ?? error);
  Object.assign(app, { wanted: null, said });
  if (app.state) app.show(); // the task that was shown stays
  else app.root.querySelector(".mx-main").replaceChildren(h("p", { class: "mx-none mx-no", role: "alert" }, said));
}

// Task and id in the page's address, "#squad/compass-6".
export function linked() {
  try {
    const [task, id] = location.hash.slice(1).split("/").map(decodeURIComponent);
    return { task, id };
  } catch {
    return {};
  }
}

// Opens the question in the address of a saved page; returns whether there is one.
function fromLink(app) {
  const { task, id } = linked(),
    { data } = app.state,
    place = app.home === "file" && task === data.task ? data.places.get(id) : undefined;
  if (place !== undefined) visit(app.state, place);
  return place !== undefined;
}

// Results that Python computes on request, cached by the request, so that an outdated one is never shown.
function addRequests(app) {
  app.lacks = () =>
    app.home === "file"
      ? "A saved page has no models: open the runs in Jupyter (explore) for this."
      : app.state.data.runs.every((run) => run.without)
        ? app.state.data.runs.map((run) => run.without).join(" ")
        : null;
  app.whyKey = (r) => JSON.stringify([r, app.state.thresholds[r], ...asked(app.state)]);
  const later = async (kept, key, call) => {
    kept.set(key, null);
    kept.set(key, await call().catch((error) => ({ error: String(error.message ?? error) })));
    app.show();
  };
  // a question that is open for less than 250 ms, or still being typed, causes no request
  app.look = (r, key) => {
    const { data, thresholds } = app.state,
      [question, passage] = asked(app.state),
      threshold = thresholds[r] === data.runs[r].tuned ? null : thresholds[r], // null: as the run has it
      given = { task: data.task, run: r, question, passage, threshold };
    clearTimeout(app.soon);
    app.soon = setTimeout(() => {
      if (!app.looked.has(key)) later(app.looked, key, async () => ({ passage, ...(await app.ask("why", given)) }));
    }, 250);
  };
  app.compareTwo = (a, b, key) => {
    if (app.comparisons.has(key)) return;
    later(app.comparisons, key, async () =>
      app.home === "file"
        ? { error: "This page contains no comparison of these two." }
        : app.ask("compare", { task: app.state.data.task, a, b }),
    );
  };
}

function show(app) {
  const { root, state } = app,
    had = root.contains(document.activeElement);
  const top = root.querySelector(".mx-top"),
    box = root.querySelector(".mx-list"),
    main = root.querySelector(".mx-main");
  const other = app.last !== state.open;
  if (other && app.last !== undefined) app.said = null;
  const title = app.home === "file" ? h("h1", { class: "mx-away" }, document.title) : null;
  morph(top, h("header", { class: "mx-top" }, title, bar(app)));
  showList(app);
  if (other || app.lastShown !== state.shown) {
    reveal(box, state);
    showList(app);
  }
  const fresh = main.cloneNode(false);
  fresh.append(...[question(app), tabs(app)].flat(Infinity).filter(Boolean));
  morph(main, fresh);
  if (other) main.scrollTop = 0;
  Object.assign(app, { last: state.open, lastShown: state.shown });
  if (had && !root.contains(document.activeElement)) (root.querySelector(`[data-key="${CSS.escape(app.focus ?? "")}"]`) ?? box).focus();
}

function showList(app) {
  const box = app.root.querySelector(".mx-list"),
    fresh = box.cloneNode(false),
    { state } = app;
  fresh.append(list(state, box.scrollTop, box.clientHeight || 600));
  fresh.setAttribute("aria-label", `${state.shown.length} questions`);
  fresh.setAttribute("role", state.shown.length ? "listbox" : "group");
  const row = `${state.id}-row-${state.open}`;
  if (fresh.querySelector(`#${row}`)) fresh.setAttribute("aria-activedescendant", row);
  else fresh.removeAttribute("aria-activedescendant");
  morph(box, fresh);
}

function listen(app) {
  const { root } = app,
    of = (event, name) => event.target.closest?.(`[data-${name}]`);
  const say = (app.do = (call) =>
    Promise.resolve()
      .then(call)
      .catch((error) => {
        Object.assign(app, { said: String(error.message ?? error), popup: null }); // an open menu would cover the error
        app.show();
      }));
  root.addEventListener("click", (event) => {
    const el = of(event, "do");
    const outside = app.popup && !event.target.closest(".mx-popup") && el?.dataset.do !== "popup";
    if (outside) app.popup = null;
    if (outside && !el) return app.show();
    if (!el || el.getAttribute("aria-disabled") === "true") return outside ? app.show() : undefined;
    app.said = null;
    app.focus = el.dataset.key ?? null;
    say(() => actions[el.dataset.do](app, el.dataset.arg, event));
  });
  root.addEventListener("focusin", (event) => {
    if (!app.popup || event.target.closest(`.mx-popup, [data-do="popup"][data-arg="${app.popup}"]`)) return;
    app.popup = null;
    app.show();
  });
  root.addEventListener("change", (event) => {
    const el = of(event, "change");
    if (!el || !app.state) return;
    say(async () => {
      await changes[el.dataset.change](app, el.value, el.dataset.arg);
      if (el.type === "number") el.value = el.getAttribute("value"); // restores the value if the input was not a number
    });
  });
  root.addEventListener("input", (event) => {
    const el = of(event, "type");
    if (el && app.state) typed[el.dataset.type](app, el.value, el.dataset.arg);
  });
  root.querySelector(".mx-list").addEventListener("scroll", () => app.state && showList(app));
  const sizes = new ResizeObserver(() => app.state && showList(app));
  const away = (event) => {
    if (!app.popup || root.contains(event.target)) return;
    app.popup = null;
    app.show();
  };
  sizes.observe(root.querySelector(".mx-list"));
  document.addEventListener("pointerdown", away);
  app.end = () => (sizes.disconnect(), document.removeEventListener("pointerdown", away));
  keys(app);
  drags(app);
}

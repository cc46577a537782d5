// The two hosts of the explorer: a Jupyter cell (anywidget calls `render`) and a standalone page (`boot`).

import { unpack } from "./data.js";
import { h } from "./dom.js";
import { linked, mount } from "./main.js";

const PATIENCE = 300000; // ms

// In Jupyter, rows are sent as binary messages and are never saved in the notebook; its static view is hidden while this one is alive.
async function render({ model, el }) {
  const waiting = new Map(),
    cover = h("style", {}, `[data-mtdnn-static="${CSS.escape(model.get("static_id"))}"] { display: none }`);
  const view = Math.random().toString(36).slice(2); // a widget can have several views
  let turn = 0;
  const heard = (message, buffers) => {
    const wait = waiting.get(message.turn);
    if (!wait) return;
    waiting.delete(message.turn);
    if (message.error) wait.reject(new Error(message.error));
    else wait.resolve(buffers?.length ? buffers[0] : message.reply);
  };
  model.on("msg:custom", heard);
  const ask = (kind, about = {}) =>
    new Promise((resolve, reject) => {
      const key = `${view} ${++turn}`;
      waiting.set(key, { resolve, reject });
      setTimeout(reject, PATIENCE, new Error("The kernel does not reply. Wait until it is idle, or run the cell again."));
      model.send({ turn: key, kind, ...about });
    });
  const app = await mount(el, {
    home: "jupyter",
    tasks: model.get("tasks"),
    ask,
    open: async (task) => unpack(await ask("open", { task })),
  });
  if (app.state) document.head.append(cover);
  return () => {
    model.off("msg:custom", heard);
    cover.remove();
    app.end();
  };
}

export default { render };

// The standalone page: it contains the packed data of each task; the browser's storage keeps the notes.
export async function boot() {
  const data = [...document.querySelectorAll("script[data-task]")],
    tasks = data.map((one) => one.dataset.task);
  const bytes = (text) => Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const block = (task) => data[Math.max(tasks.indexOf(task), 0)].textContent.trim();
  const place = (task) => `mtdnn-kit ${location.pathname} ${task} ${block(task).slice(-16)}`; // gzip ends with a checksum of the data
  const saved = {
    read: ({ task }) => {
      try {
        return JSON.parse(localStorage.getItem(place(task)));
      } catch {
        return null;
      }
    },
    keep: ({ task }, notes) => {
      try {
        localStorage.setItem(place(task), JSON.stringify(Object.fromEntries(notes)));
        return true;
      } catch {
        return false; // a browser without storage
      }
    },
  };
  window.mtdnnExplorer = await mount(document.body, {
    home: "file",
    tasks,
    ask: async () => {
      throw new Error("A saved page has no models behind it.");
    },
    saved,
    open: (task) => unpack(bytes(block(task ?? linked().task))),
  });
  window.addEventListener("hashchange", () => {
    const { task } = linked(),
      app = window.mtdnnExplorer;
    if (tasks.includes(task) && task !== app.state.data.task) app.openTask(task);
    else if (app.follow()) app.show();
  });
}

// The note next to each number that uses moved thresholds.

import { h } from "./dom.js";
import { isMoved } from "./state.js";

export const movedNote = (state) =>
  isMoved(state)
    ? h(
        "p",
        { class: "mx-moved", role: "status" },
        "thresholds moved · ",
        h("button", { class: "mx-plain", "data-do": "reset", "data-key": "reset" }, "reset"),
      )
    : null;

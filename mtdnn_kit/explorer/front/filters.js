// Filters: named masks of rows, in groups; names as in filters.py. Of each `set` at most one is active; sets are combined by AND.

import { labelsOf } from "./data.js";

export const FAVOURITES = "favourites";
const MODELS = ["All models", "Two models"]; // these two groups are one set: "one wrong, one right" is a case of "answers differ"

// All filters at these outcomes: [{group, set, name, mask, facet, value}]; mask: Uint8Array [rows], computed on first use; facet: of the
// data, if the filter is for one of its values.
export function filtersOf(data, now, notes) {
  const { runs, kinds } = data,
    made = [];
  const add = (group, name, passes, facet = null, value = null) => {
    let mask = null;
    made.push({
      facet,
      value,
      group,
      set: MODELS.includes(group) ? MODELS[0] : group,
      name,
      get mask() {
        return (mask ??= maskOf(data.n, passes));
      },
    });
  };
  const right = (r, i) => now[r].em[i] > 0,
    every = runs.map((_, r) => r);
  if (runs.length > 1) {
    const differ = (i) => every.some((r) => now[r].text[i] !== now[0].text[i]);
    add("All models", "answers differ", differ);
    add("All models", "all answer the same", (i) => !differ(i));
    add("All models", "all right", (i) => every.every((r) => right(r, i)));
    add("All models", "all wrong", (i) => !every.some((r) => right(r, i)));
  }
  for (const a of runs.length > 2 ? every : []) {
    for (const b of every.filter((r) => r > a)) {
      add("Two models", `${runs[a].name} and ${runs[b].name} differ`, (i) => now[a].text[i] !== now[b].text[i]);
    }
  }
  for (const a of every) {
    for (const b of every.filter((r) => r !== a)) {
      add("Two models", `${runs[a].name} wrong, ${runs[b].name} right`, (i) => !right(a, i) && right(b, i));
    }
  }
  every.forEach((r) => {
    add(runs[r].name, `${runs[r].name}: right`, (i) => right(r, i));
    add(runs[r].name, `${runs[r].name}: wrong`, (i) => !right(r, i));
    kinds.slice(1).forEach((kind, k) => add(runs[r].name, `${runs[r].name}: ${kind}`, (i) => now[r].kind[i] === k + 1));
  });
  for (const facet of data.facets) {
    facet.names.forEach((name, k) => add(facet.facet, `${facet.facet}: ${name}`, (i) => facet.of[i] === k, facet, k));
  }
  add("Yours", FAVOURITES, (i) => notes.has(String(data.rows.id[i])));
  return made;
}

function maskOf(n, passes) {
  const mask = new Uint8Array(n);
  for (let i = 0; i < n; i++) mask[i] = passes(i) ? 1 : 0;
  return mask;
}

// The mask of rows that contain the searched text and pass all chosen filters, except those of the set `except`.
export function passing(data, filters, chosen, found, except = null) {
  const masks = filters.filter((one) => chosen.includes(one.name) && one.set !== except).map((one) => one.mask);
  return maskOf(data.n, (i) => found[i] && masks.every((mask) => mask[i]));
}

// {name: number of rows that pass the filter and those chosen in other sets} of some filters.
export function leaves(data, filters, chosen, found, some) {
  const once = (kept, key, call) => (kept.has(key) ? kept : kept.set(key, call())).get(key),
    sets = new Map(),
    facets = new Map();
  const countOf = (one) => {
    const others = once(sets, one.set, () => passing(data, filters, chosen, found, one.set));
    if (one.facet) return once(facets, one.facet, () => ofValues(one.facet, others))[one.value];
    return others.reduce((total, passes, i) => total + (passes & one.mask[i]), 0);
  };
  return new Map(some.map((one) => [one.name, countOf(one)]));
}

// The number of rows of each value of a facet, which can have as many values as rows; others: the mask of the rows that count.
function ofValues(facet, others) {
  const totals = new Uint32Array(facet.names.length);
  facet.of.forEach((value, i) => (totals[value] += others[i]));
  return totals;
}

// A case-insensitive pattern that finds a text; null for an empty one.
export function pattern(text) {
  return text.trim() ? new RegExp(text.trim().replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"), "giu") : null;
}

// The mask of rows that contain a text in question, passage, accepted answers or a model's answer.
export function search(data, now, text) {
  const wanted = pattern(text);
  if (!wanted) return new Uint8Array(data.n).fill(1);
  const has = (one) => one.search(wanted) >= 0;
  if (!data.qa) {
    // endings are texts of a row; of labels, which all rows share, those that are right or predicted
    const chosen = (i) => [data.rows.gold[i], ...now.map((own) => own.text[i] - 1)].map((k) => data.labels[k]);
    const labels = (i) => (data.labels ? chosen(i) : labelsOf(data, i));
    return maskOf(data.n, (i) => data.rows.texts[i].some(has) || labels(i).some(has));
  }
  const passages = data.passages.map(has); // an answer is a part of the passage, unless it was read without a place
  const lost = (i) => data.answers.some((own) => own.said && has(own.said[i][0]));
  return maskOf(data.n, (i) => passages[data.rows.passage[i]] || has(data.rows.question[i]) || lost(i));
}

export const SORTS = ["largest gap", "most disagreement", "least sure", "surest", "as in the data"];

// All rows in a sort order; pair: the two runs that are compared, of which the second one's certainty is sorted by.
export function ordered(data, now, sort, [a, b]) {
  const order = Array.from({ length: data.n }, (_, i) => i);
  const of = (i) => now.map((own) => own.f1[i]),
    different = (i) => new Set(now.map((own) => own.text[i])).size;
  const own = data.answers[b],
    sure = (i) => (data.qa ? -(own.diff?.[i] ?? 0) : own.p[i][own.text[i] - 1]); // as on the card's bar
  const by = {
    "largest gap": (i) => Math.abs(now[b].f1[i] - now[a].f1[i]),
    "most disagreement": (i) => 100 * (Math.max(...of(i)) - Math.min(...of(i))) + different(i),
    "least sure": (i) => -sure(i),
    surest: sure,
  }[sort];
  if (!by) return order;
  const keys = Float64Array.from(order, by);
  return order.sort((x, y) => keys[y] - keys[x]);
}

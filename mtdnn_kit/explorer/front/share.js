// Export: a row as Markdown, rows as CSV, rows as a page. In JavaScript, so that a saved page can export, too.

import { goldsOf, headOf, labelsOf, passageOf, replyOf } from "./data.js";

const OF_RIGHT = "probability of the right one";

// A text on one line of Markdown, with its markup escaped.
export const plain = (text) =>
  String(text)
    .split(/\s+/)
    .filter(Boolean)
    .join(" ")
    .replace(/([\\`*_{}[\]<>()#+\-.!|~&$:])/g, "\\$1");

// A row with each model's answer, as Markdown.
export function markdown(state, i) {
  const { data } = state,
    golds = goldsOf(data, i).map(plain).join(" / ") || "*no answer*";
  const texts = data.qa
    ? [`**${plain(headOf(data, i))}**`, `> ${plain(passageOf(data, i))}`, `Accepted: ${golds}`]
    : [...data.rows.texts[i].map((text) => `> ${plain(text)}`), `Right: ${golds}`];
  const lines = records(state, i).map((row) => [
    row.run,
    row.answer || "*no answer*",
    row["which is"],
    figure(row.probability),
    figure(data.qa ? row.f1 : row[OF_RIGHT]),
  ]);
  const head = [["model", "answer", "which is", "probability", data.qa ? "F1" : OF_RIGHT], Array(5).fill("---")];
  const cells = (row, k) => `| ${row.map((one) => (k < 2 || one === "*no answer*" ? one : plain(one))).join(" | ")} |`;
  return [...texts, [...head, ...lines].map(cells).join("\n")].join("\n\n") + "\n";
}

const figure = (value) => (value === null || value === undefined ? "" : Number(value).toPrecision(3));

// One record per model: its answer to a row, with offsets (in code points), probabilities and scores.
function records(state, i) {
  const { data, now } = state;
  return data.runs.map((run, r) => {
    const reply = replyOf(data, now, r, i),
      id = data.rows.id[i];
    const made = { id, run: run.name, answer: reply.none ? "" : reply.text, "which is": reply.kind, probability: reply.probability };
    if (!data.qa) {
      labelsOf(data, i).forEach((name, k) => (made[data.labels ? `p(${name})` : `p(${k + 1})`] = data.answers[r].p[i][k]));
      return { ...made, [OF_RIGHT]: reply.f1, right: reply.right ? 1 : 0 };
    }
    return {
      ...made,
      start: reply.start,
      end: reply.end,
      "null − best": reply.diff,
      threshold: now[r].threshold,
      em: reply.right ? 1 : 0,
      f1: reply.f1,
    };
  });
}

// Rows as CSV (RFC 4180), one line per row and model.
export function csv(state, places) {
  const rows = places.flatMap((i) => records(state, i)),
    head = [...new Set(rows.flatMap(Object.keys))];
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [head, ...rows.map((row) => head.map((name) => row[name]))].map((line) => line.map(cell).join(",") + "\r\n").join("");
}

// The data of some rows, at the current thresholds; comparisons remain those of all rows.
export function part({ data, notes, thresholds }, places) {
  const pick = (list) => places.map((i) => list[i]),
    rows = Object.fromEntries(Object.entries(data.rows).map(([name, list]) => [name, pick(list)]));
  if (data.qa) {
    const used = [...new Set(rows.passage)],
      to = new Map(used.map((one, k) => [one, k]));
    rows.passage = rows.passage.map((one) => to.get(one));
    data = { ...data, passages: used.map((one) => data.passages[one]) };
  }
  const answers = data.answers.map((own) => Object.fromEntries(Object.entries(own).map(([name, list]) => [name, pick(list)])));
  const facets = data.facets.map((facet) => ({ ...facet, of: pick(facet.of) })),
    kept = places.map((i) => String(data.rows.id[i])).filter((id) => notes.has(id));
  const { places: _, n: __, qa: ___, missed: ____, correct: _____, ...rest } = data;
  return { ...rest, rows, answers, facets, thresholds, start: [], notes: Object.fromEntries(kept.map((id) => [id, notes.get(id)])) };
}

// Data as JSON, with Infinity as null, as Python wrote it.
export const asJson = (data) =>
  JSON.stringify(data, (_, value) => (value instanceof Float64Array ? [...value] : value === Infinity ? null : value));

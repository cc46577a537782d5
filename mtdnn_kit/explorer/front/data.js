// A task's rows and the answers of each run, as columns (answers_json.py). Offsets count code points, as in Python.

export const LETTERS = "ABCDEF";

const NEEDED = {
  DecompressionStream: () => typeof DecompressionStream !== "undefined",
  "Map.groupBy": () => Boolean(Map.groupBy),
  "light-dark()": () => CSS.supports("color", "light-dark(#000, #fff)"),
};

// Decodes gzipped JSON.
export async function unpack(bytes) {
  const [lacks] = Object.entries(NEEDED).find(([, has]) => !has()) ?? [];
  if (lacks) throw new Error(`This browser is too old: it lacks ${lacks}. Update it.`);
  const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  return opened(JSON.parse(text));
}

export function opened(data) {
  const numbers = (list) => Float64Array.from(list, (x) => (x === null ? Infinity : x)); // null: no span is possible
  for (const own of data.answers) {
    if (own.diff) own.diff = numbers(own.diff);
    for (const name of ["em", "f1"]) own[name] = Float64Array.from(own[name]);
  }
  data.n = data.rows.id.length;
  data.places = new Map(data.rows.id.map((id, i) => [String(id), i]));
  data.qa = data.type === "qa";
  return data;
}

// Code points [start, end) of a text.
export function cut(text, start, end) {
  return /[\ud800-\udfff]/.test(text) ? [...text].slice(start, end).join("") : text.slice(start, end);
}

export const passageOf = (data, i) => (data.qa ? data.passages[data.rows.passage[i]] : "");
export const titleOf = (data, i) => (data.rows.title ? data.rows.title[i].replaceAll("_", " ") : "");
export const headOf = (data, i) => (data.qa ? data.rows.question[i] : (data.rows.texts[i][0] ?? ""));
export const labelsOf = (data, i) => data.rows.labels?.[i] ?? data.labels;

// The distinct accepted answers of a question; empty if it is unanswerable.
export function goldsOf(data, i) {
  if (!data.qa) return [labelsOf(data, i)[data.rows.gold[i]]];
  const found = data.rows.golds[i],
    texts = [];
  for (let k = 0; k < found.length; k += 2) texts.push(cut(passageOf(data, i), found[k], found[k + 1]));
  return [...new Set(texts)];
}

// The answer of run r to row i at its current threshold: {text, none, start, end, probability, kind, right, f1, sure, mark}.
export function replyOf(data, now, r, i) {
  const own = data.answers[r],
    given = now[r].given[i] === 1,
    kind = data.kinds[now[r].kind[i]];
  const reply = { none: !given, kind, right: now[r].em[i] > 0, f1: now[r].f1[i], start: null, end: null, text: "" };
  if (!data.qa) {
    const label = own.text[i] - 1;
    return { ...reply, none: false, text: labelsOf(data, i)[label], label, probability: own.p[i][label] };
  }
  if (own.said) {
    [reply.text, reply.start, reply.end] = own.said[i];
    return { ...reply, probability: null };
  }
  const [start, end, p] = own.best[i];
  reply.probability = given ? p : own.none[i];
  if (given) Object.assign(reply, { start, end, text: cut(passageOf(data, i), start, end) });
  return { ...reply, ...surety(own.diff[i], now[r].threshold) };
}

const SOFTNESS = 4; // a temperature, in units of null − best: with 1, nearly all bars would be full or empty

// A model's certainty to answer, 0 to 1: 1 / (1 + exp((null − best) / 4)); `mark`: that of its threshold. It answers iff sure ≥ mark.
export function surety(diff, threshold) {
  return { diff, threshold, sure: 1 / (1 + Math.exp(diff / SOFTNESS)), mark: 1 / (1 + Math.exp(threshold / SOFTNESS)) };
}

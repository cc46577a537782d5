// What the answers are worth at given thresholds: nothing is answered iff null − best > threshold. EM and F1 as Python's, in percent.

// Of each run: whether an answer is given, and EM, F1, text and kind of what is said, a value a row.
export function outcomesAt(data, thresholds) {
  return data.answers.map((own, r) => outcomeOf(data, own, thresholds[r]));
}

function outcomeOf(data, own, threshold) {
  const { n, rows, missed, correct } = data,
    empty = rows.nothing;
  const made = {
    threshold,
    given: new Uint8Array(n),
    em: new Float64Array(n),
    f1: new Float64Array(n),
    text: new Int32Array(n),
    kind: new Uint8Array(n),
  };
  for (let i = 0; i < n; i++) {
    const given = own.diff ? own.diff[i] <= threshold : own.text[i] !== 0;
    made.given[i] = given ? 1 : 0;
    made.em[i] = given ? own.em[i] : empty[i];
    made.f1[i] = given ? own.f1[i] : empty[i];
    made.text[i] = given ? own.text[i] : 0;
    made.kind[i] = given ? own.kind[i] : empty[i] ? correct : missed;
  }
  return made;
}

// EM and F1 (accuracy of other tasks is EM) in percent, numbers of false answers and of missed ones.
export function tally(data, out) {
  const total = { em: 0, f1: 0, falseAnswers: 0, missed: 0 },
    wrong = data.kinds.indexOf("false answer");
  for (let i = 0; i < data.n; i++) {
    total.em += out.em[i];
    total.f1 += out.f1[i];
    if (out.kind[i] === wrong) total.falseAnswers++;
    else if (out.kind[i] === data.missed) total.missed++;
  }
  return { ...total, em: (100 * total.em) / data.n, f1: (100 * total.f1) / data.n };
}

// F1 of a run over thresholds: {levels, f1}: each level of null − best, rising, and F1 in percent where all up to it are answered.
export function curveOf(data, r) {
  const own = data.answers[r],
    order = [...own.diff.keys()].sort((a, b) => own.diff[a] - own.diff[b]),
    levels = [],
    f1 = [];
  let sum = 0;
  for (let i = 0; i < data.n; i++) sum += data.rows.nothing[i];
  const start = (100 * sum) / data.n;
  for (const i of order) {
    if (!Number.isFinite(own.diff[i])) break;
    sum += own.f1[i] - data.rows.nothing[i];
    if (levels.at(-1) === own.diff[i]) f1[f1.length - 1] = (100 * sum) / data.n;
    else (levels.push(own.diff[i]), f1.push((100 * sum) / data.n));
  }
  return { levels, f1, start };
}

// Mean F1 (of other tasks: of accuracy, in percent) of run b minus run a over places; null of none.
export function gapOver(data, now, a, b, places) {
  const of = data.qa ? "f1" : "em";
  let sum = 0;
  for (const i of places) sum += now[b][of][i] - now[a][of][i];
  return places.length ? (100 * sum) / places.length : null;
}

// The scores of answers at given thresholds: "no answer" iff null − best > threshold. EM and F1 as in Python, in percent.

// For each run, arrays [rows]: whether an answer is given, and EM, F1, text and kind of the answer.
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
    const given = own.diff ? own.diff[i] <= threshold : own.said ? own.said[i][0] !== "" : true;
    made.given[i] = given ? 1 : 0;
    made.em[i] = given ? own.em[i] : empty[i];
    made.f1[i] = given ? own.f1[i] : empty[i];
    made.text[i] = given ? own.text[i] : 0;
    made.kind[i] = given ? own.kind[i] : empty[i] ? correct : missed;
  }
  return made;
}

// EM and F1 in percent (for other tasks EM is accuracy), and the numbers of false and missed answers.
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

// F1 of a run by threshold: {levels, f1}: the ascending levels of null − best, and F1 in percent if all up to a level are answered.
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

// Mean F1 (for other tasks accuracy) of run b minus run a over some rows, in percent; null without rows.
export function gapOver(data, now, a, b, places) {
  const of = data.qa ? "f1" : "em";
  let sum = 0;
  for (const i of places) sum += now[b][of][i] - now[a][of][i];
  return places.length ? (100 * sum) / places.length : null;
}

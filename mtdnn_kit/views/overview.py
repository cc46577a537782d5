"""What the data of a run look like: sizes, labels, questions and answers, what windows cost, and which rows are odd.

Plain tables for notebook 01, made from the result of `prepare`. `odd_rows` decides which rows are odd.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtdnn_kit.compare.choices import Item
from mtdnn_kit.compare.pairing import Question
from mtdnn_kit.compare.slices import QUESTION_WORDS, question_word
from mtdnn_kit.data.read_as import LABELLED
from mtdnn_kit.tasks.qa import Features
from mtdnn_kit.tasks.spans import check_lengths, context_room, windows
from mtdnn_kit.training import odd_rows as odd
from mtdnn_kit.training.odd_rows import answer_spans, splits, texts_of
from mtdnn_kit.training.setup import Setup

MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"]


def _rows(setup: Setup, task: str) -> list:
    return [row for features in splits(setup, task).values() for row in features.rows]


def datasets_table(setup: Setup) -> list[dict]:
    """One row per task: its type, rows of each split, mean words of a row's texts, and its labels."""
    table = []
    for task, dataset in setup.config.datasets.items():
        parts = splits(setup, task)
        sizes = {name: len(parts[name].rows) if name in parts else 0 for name in ("train", "held out", "scored")}
        words = np.mean([sum(len(text.split()) for text in texts_of(row, dataset)) for row in _rows(setup, task)])
        said = {"qa": "a span, or nothing" if dataset.unanswerable else "a span", "mcc": "one of the choices"}
        labels = said.get(dataset.type, ", ".join(dataset.labels))
        table.append({"task": task, "type": dataset.type, **sizes, "words a row": round(float(words), 1), "answer": labels})
    return table


def files_table(setup: Setup) -> list[dict]:
    """One row per split: its origin, the counts of its file, and the rows of the split with their fingerprint.

    Lines (or questions, or records) in the file are the rows read and what was left out.
    """

    def said(counts: dict[str, int]) -> str:
        return ", ".join(f"{what}: {n:,}" for what, n in counts.items())

    table = []
    for name, source in setup.sources.items():
        file = source["file"]
        unit = next(iter(file))
        found = {"in the file": f"{file[unit]:,} {unit}", "rows read": file["rows"]}
        found |= {key.replace("_", " "): said(file[key]) for key in ("left_out", "read_as")}
        table.append({"split": name, "origin": source["origin"], **found, "rows": source["rows"], "fingerprint": source["fingerprint"]})
    return table


def examples(setup: Setup, task: str, count: int = 3) -> list[dict]:
    """The first training rows of a classification or choice task, with the name of the label; of another type, as they are."""
    labels = setup.config.datasets[task].labels
    rows = [row._asdict() for row in setup.train[task].rows[:count]]
    for row in rows:
        row |= {f"choice {i}": text for i, text in enumerate(row.pop("choices", ()))}
        if setup.specs[task]["type"] in LABELLED:
            row["label"] = labels[row["label"]] if labels else f"choice {row['label']}"
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def cards(setup: Setup, task: str, count: int = 2) -> list[Question | Item]:
    """The first training rows of a task as cards, without answers of a model; for questions also the first unanswerable one. [] for a task
    type without cards."""
    rows, dataset, kind = setup.train[task].rows, setup.config.datasets[task], setup.specs[task]["type"]
    if kind == "qa":
        return [Question(row, {}) for row in [*rows[:count], *[row for row in rows if not row.answers][:1]]]
    if kind not in LABELLED:
        return []
    return [Item(row._replace(id=f"{task} · row {row.id}"), {}, tuple(dataset.labels) or row.choices) for row in rows[:count]]


def answers_counts(setup: Setup, task: str) -> dict[str, dict[str, int]]:
    """Of a qa task's questions, over all splits: answerable or not (of the scored ones as well), question words, and types of (first)
    answers."""
    rows, scored = _rows(setup, task), setup.scored[task].rows if task in setup.scored else []
    asked, kinds = Counter(map(question_word, rows)), Counter(answer_type(row.answers[0][1]) for row in rows if row.answers)
    return {
        "answer": _answerable(rows),
        **({"answer, scored rows": _answerable(scored)} if len(scored) else {}),
        "question word": {word: asked[word] for word in (*QUESTION_WORDS, "other") if asked[word]},
        "type of answer": dict(kinds.most_common()),
    }


def _answerable(rows: Sequence) -> dict[str, int]:
    nothing = sum(not row.answers for row in rows)
    return {"in the passage": len(rows) - nothing, "nothing": nothing}


def label_counts(setup: Setup, scored: bool = False) -> dict[str, dict[str, int]]:
    """task → {label: rows}, of the classification and choice tasks: over all splits, or over the scored rows of those that have any."""
    counts = {}
    for task, dataset in setup.config.datasets.items():
        if dataset.type in LABELLED and (task in setup.scored or not scored):
            found = Counter(row.label for row in (setup.scored[task].rows if scored else _rows(setup, task)))
            names = dataset.labels or [f"choice {i}" for i in range(max(found) + 1)]
            counts[task] = {name: found[i] for i, name in enumerate(names)}
    return counts


def answer_type(text: str) -> str:
    """A rough type of an answer, by its form: year or date, number, name (capitals), clause (over five words) or phrase."""
    words = text.split()
    if re.search(r"\b1\d{3}\b|\b20\d\d\b|\bBC\b", text) or ({w.lower().strip(",.") for w in words} & set(MONTHS) and len(words) < 4):
        return "year or date"
    if re.search(r"\d", text):
        return "number"
    inner = [word for word in words if len(word) > 3]
    if inner and all(word[0].isupper() for word in inner):
        return "name"
    return "clause" if len(words) > 5 else "phrase"


def _percent(share: float) -> str:
    return "under 0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


def windows_table(
    features: Features, lengths: Sequence[int], max_question: int, overlap: float = 0.25, overlaps: Mapping[int, int] | None = None
) -> list[dict]:
    """What a sequence length costs: for each of `lengths`, windows per question, questions that need several, and answers lost.

    overlap: of neighbouring windows, as a share of the smallest room for the context (at most 0.5); overlaps: length → tokens, where they
    are given. `lost if cut` is the share of answers
    beyond the first window, which plain truncation loses; `in no window` those that no window holds whole.
    """
    contexts, answers, table = features.contexts, answer_spans(features), list[dict]()
    sizes, able = np.diff(contexts.tokens.ends)[contexts.numbers], answers[:, 0] >= 0
    for length in lengths:
        shared = (overlaps or {}).get(length, int(overlap * max(context_room(length, max_question, features.frame), 0)))
        check_lengths(length, max_question, shared, features.frame)
        room = context_room(length, features.questions.sizes, features.frame)
        row, first, end = windows(sizes, room, shared).T
        counts, held = np.bincount(row), np.bincount(row, (first <= answers[row, 0]) & (answers[row, 1] < end))
        lost = {"lost if cut": answers[:, 1] >= room, "in no window": held == 0}
        shares = {name: _percent(gone[able].sum() / max(able.sum(), 1)) for name, gone in lost.items()}
        shares = {"several windows": _percent((counts > 1).mean()), **shares}
        table.append({"max_length": length, "overlap": shared, "windows per question": round(float(counts.mean()), 2), **shares})
    return table


def odd_rows(setup: Setup) -> list[dict]:
    """Rows that are valid but odd (`odd_rows`), counted: one row per task and oddity that occurs; `e.g.` is the first such row's id."""
    table = []
    for task in setup.train:
        found = odd.odd_rows(splits(setup, task), setup.config.datasets[task], setup.config).values()
        ids = {oddity: [id_ for part in found for id_ in part.get(oddity, ())] for oddity in odd.ODDITIES}
        table += [{"task": task, "oddity": oddity, "rows": len(some), "e.g.": some[0]} for oddity, some in ids.items() if some]
    return table


def tokens(setup: Setup, task: str, number: int = 0) -> list[tuple[str, str]]:
    """The first window or sequence of a training row (for a choice, the right one) as (token, role), a role of `marks.html.ROLES`."""
    ids, target, _ = _sequence(setup, task, number)
    parts = np.where(np.cumsum(np.equal(ids, setup.tokenizer.sep_token_id)), "second", "first")
    roles = np.where(np.isin(ids, setup.tokenizer.all_special_ids), "special", parts)
    if setup.specs[task]["type"] == "qa" and target[0]:
        roles[target[0] : target[1] + 1] = "answer"
    return list(zip(setup.tokenizer.convert_ids_to_tokens(ids), roles.tolist(), strict=True))


def back(setup: Setup, task: str, number: int = 0) -> dict[str, str]:
    """The text and label recovered from the tokens of `tokens`; of a question, the characters that the labelled tokens stand for."""
    features, (ids, target, item) = setup.train[task], _sequence(setup, task, number)
    found = {"tokens say": setup.tokenizer.decode(ids)}
    if isinstance(features, Features):
        row = features.rows[number]
        held, (start, end) = features.window(item), [position - features.first(item) for position in target]
        found["label says"] = row.context[held.starts[start] : held.ends[end]] if target[0] else "(nothing)"
        found["row says"] = row.answers[0][1] if row.answers else "(nothing)"
    elif setup.specs[task]["type"] in LABELLED:
        labels = setup.config.datasets[task].labels
        found["label says"] = labels[target] if labels else f"choice {target}"
    return found


def _sequence(setup: Setup, task: str, number: int) -> tuple[list[int], Any, int]:
    """Token ids of a row's first item without padding, the target, and the item's number."""
    features = setup.train[task]
    item = int(np.flatnonzero(features.table[:, 0] == number)[0]) if isinstance(features, Features) else number
    batch = features.collate(np.array([item]))
    ids, real = (batch.inputs[name][0] for name in ("input_ids", "attention_mask"))
    if ids.ndim == 2:  # the right choice
        ids, real = ids[features.rows[number].label], real[features.rows[number].label]
    return ids[real.bool()].tolist(), batch.targets[0].tolist(), item

"""Decoding n-best answers from logits: the kit's arrays against a plain double loop over the 20 best starts × the 20 best ends.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/decoding.py [--data FOLDER] [--repeats 5]

The loop is that of public question-answering examples: for each window it takes the 20 best starts and ends, checks and collects each pair,
sorts them, and keeps the 20 best with text and probability. (It examines 400 pairs, the kit all spans of up to 30 tokens.) Questions and
passages are real where --data or MTDNN_DATA names them, otherwise from the sample. Logits are random: a few positions of a passage score
high, as with a trained model, or none do. Both sides get the same logits, in alternating order; each has its windows prepared before (the
loop: offsets as lists). The result is the median of the repeats' ratios.
"""

import argparse
import os
import statistics
import time
import tracemalloc
from functools import partial

import numpy as np
from machine import alternately, heading, ratio

from mtdnn_kit.config import DEFAULT_ENCODER, Config
from mtdnn_kit.data.arrays import Ragged
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.sources import load
from mtdnn_kit.model.encoders import find_encoder
from mtdnn_kit.model.multitask import load_tokenizer
from mtdnn_kit.tasks import qa

CONFIG = Config(max_length=384, overlap=128)
BATCH = 8192  # tokens


def batches(features: qa.Features, peaks: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Items and logits [B, T, 2] of all windows, longest first, −inf at padding."""
    rng, order, made = np.random.default_rng(0), np.argsort(-features.lengths, kind="stable"), []
    while len(order):
        count = max(1, BATCH // int(features.lengths[order[0]]))
        items, order = order[:count], order[count:]
        lengths = features.lengths[items]
        logits = rng.normal(size=(len(items), int(lengths.max()), 2))
        if peaks:
            for j, n in enumerate(lengths):
                for place in rng.integers(1, n, 4):
                    logits[j] += 8 * np.exp(-np.abs(np.arange(logits.shape[1])[:, None] - place - [0, 2]) / 2)
        logits[np.arange(logits.shape[1]) >= lengths[:, None]] = -np.inf
        made.append((items, logits.astype(np.float32)))
    return made


def ours(features: qa.Features, logits: list) -> list:
    """The kit's decoder: n-best, probabilities and answer texts."""
    reader = qa.Reader(features, CONFIG)
    for items, batch in logits:
        reader.add(items, batch)
    answers = reader.predictions()
    starts, ends = (part[:, 0].tolist() for part in answers.best[:2])
    return [row.context[a:b] for row, a, b in zip(features.rows, starts, ends, strict=True)]


def prepared(features: qa.Features) -> list[tuple[int, list]]:
    """What the plain loop needs of each window: the number of its question, and each token's characters, None before the passage."""
    made = []
    for item in range(len(features.lengths)):
        tokens = features.window(item)
        spans = zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)
        made.append((int(features.table[item, 0]), [None] * features.first(item) + list(spans)))
    return made


def double_loop(windows: list[tuple[int, list]], features: qa.Features, logits: list) -> list:
    """The plain loop."""
    found, null = [[] for _ in features.rows], [np.inf] * len(features.rows)
    for items, batch in logits:
        for item, scores in zip(items.tolist(), batch, strict=True):
            question, offsets = windows[item]
            start_logits, end_logits = scores[:, 0], scores[:, 1]
            null[question] = min(null[question], start_logits[0] + end_logits[0])
            best_starts, best_ends = (np.argsort(x)[-1:-21:-1].tolist() for x in (start_logits, end_logits))
            for start in best_starts:
                for end in best_ends:
                    if start >= len(offsets) or end >= len(offsets) or offsets[start] is None or offsets[end] is None:
                        continue
                    if end < start or end - start + 1 > CONFIG.max_answer:
                        continue
                    span = (offsets[start][0], offsets[end][1])
                    found[question].append({"span": span, "score": start_logits[start] + end_logits[end]})
    return [choose(row.context, spans, least) for row, spans, least in zip(features.rows, found, null, strict=True)]


def choose(context: str, spans: list[dict], null: float) -> str:
    """The 20 best spans of a question with text and probability; the text of the first."""
    best = sorted(spans, key=lambda span: span["score"], reverse=True)[:20]
    for span in best:
        span["text"] = context[span["span"][0] : span["span"][1]]
    scores = np.array([span["score"] for span in best] + [null])
    weights = np.exp(scores - scores.max())
    for span, probability in zip(best, weights / weights.sum(), strict=False):
        span["probability"] = probability
    return best[0]["text"] if best else ""


def seconds(decode, features: qa.Features, logits: list) -> float:
    """CPU time of one decoding."""
    began = time.process_time()
    decode(features, logits)
    return time.process_time() - began


def memory(features: qa.Features, logits: list, windows: int) -> tuple[float, float]:
    """MB that the reader holds for this many windows, and the peak while decoding them (without logits); repeats the given windows."""
    copies = -(-windows // len(features.lengths))
    rows = [row._replace(id=f"{i} {row.id}") for i in range(copies) for row in features.rows]
    table = np.tile(features.table, (copies, 1))
    table[:, 0] += np.repeat(np.arange(copies) * len(features.rows), len(features.table))
    questions = Ragged(np.tile(features.questions.values, copies), np.tile(features.questions.sizes, copies))
    contexts = qa.Contexts(rows, features.contexts.tokens, np.tile(features.contexts.numbers, copies))
    many = qa.Features(rows, questions, contexts, table, features.frame, 0, True)
    tracemalloc.start()
    reader = qa.Reader(many, CONFIG)
    for i in range(copies):
        for items, batch in logits:
            reader.add(items + i * len(features.lengths), batch)
    held = tracemalloc.get_traced_memory()[0] / 1e6
    reader.predictions()
    return held, tracemalloc.get_traced_memory()[1] / 1e6


def main() -> None:
    """Prints a line per kind of logits, and the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"), help="a folder of squad/validation.jsonl.gz")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    rows = load("squad", DATASETS["squad"], "validation", given.data)
    features = qa.features(rows.rows, DATASETS["squad"], load_tokenizer(find_encoder(DEFAULT_ENCODER).path), CONFIG)
    print(f"{rows.origin}: {len(rows):,} questions, {len(features.lengths):,} windows; {heading()}, numpy {np.__version__}")
    loop = partial(double_loop, prepared(features))
    for name, peaks in (("a few places score high", True), ("noise", False)):
        logits = batches(features, peaks)
        times = alternately([partial(seconds, decode, features, logits) for decode in (ours, loop)], given.repeats)
        mine, theirs = map(statistics.median, times)
        rates = f"{len(rows) / mine:,.0f} questions/s, double loop {len(rows) / theirs:,.0f}"
        print(f"{name}: {rates}; ratio {ratio(*reversed(times)):.1f} (median of {given.repeats})")
    held, most = memory(features, logits, 130_000)
    print(f"130,000 windows: {held:.0f} MB held, at most {most:.0f} MB while decoding")


if __name__ == "__main__":
    main()

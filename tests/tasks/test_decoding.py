"""n-best against brute force, across windows, with ties; what the reader keeps and rejects (design, statements 6 and 9)."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit.config import Config
from mtdnn_kit.data.arrays import Ragged
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.tasks import decoding, qa
from mtdnn_kit.tasks.decoding import NBest, Span, best_spans, merge_windows, no_spans, probabilities
from mtdnn_kit.tasks.spans import pair_frame
from mtdnn_kit.tasks.tokens import tokenize


def brute_force(start, end, starts, ends, n, max_answer) -> list[Span]:
    """The best token spans of a window, by enumeration."""
    best: dict[tuple[int, int], np.float32] = {}
    for i in range(len(start)):
        for j in range(i, min(i + max_answer, len(start))):
            if starts[i] < ends[i] and starts[j] < ends[j]:
                key, score = (int(starts[i]), int(ends[j])), np.float32(start[i]) + np.float32(end[j])
                if score > -np.inf:
                    best[key] = max(score, best.get(key, score))
    return [Span(*key, float(score)) for key, score in sorted(best.items(), key=lambda item: (-item[1], item[0]))[:n]]


def merged(windows: list[list[Span]], n: int) -> list[Span]:
    best: dict[tuple[int, int], float] = {}
    for span in (span for spans in windows for span in spans):
        best[span[:2]] = max(span.score, best.get(span[:2], span.score))
    return [Span(*key, score) for key, score in sorted(best.items(), key=lambda item: (-item[1], item[0]))[:n]]


def characters(rng, kind: str, windows: int, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Character offsets of tokens: `apart`, adjacent; `gaps`, some tokens empty; `shared`, several tokens with the same characters."""
    starts = np.cumsum(rng.integers(1, 4, (windows, tokens)), axis=1)
    if kind == "shared":
        starts = np.sort(rng.integers(0, 2 * tokens, (windows, tokens)), axis=1)
        return starts, starts + rng.integers(0, 3, (windows, tokens))
    return starts, starts + (rng.random((windows, tokens)) < 0.7 if kind == "gaps" else 1)


LOGITS = st.sampled_from(["fine", "tied", "equal", "zeros of both signs", "some −inf"])


def logits_of(rng, kind: str, shape: tuple) -> np.ndarray:
    logits = rng.normal(size=shape).astype(np.float32)
    if kind == "some −inf":
        logits[rng.random(shape) < 0.3] = -np.inf
    return {"tied": np.round(logits), "equal": np.zeros_like(logits), "zeros of both signs": np.copysign(np.float32(0), logits)}.get(
        kind, logits
    )


@given(
    st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 30), st.integers(1, 30), LOGITS, st.sampled_from(["apart", "gaps", "shared"])
)
@settings(max_examples=300, deadline=None)
def test_9_n_best_equals_brute_force(seed, tokens, n, max_answer, kind, layout):
    """For each window, and for two questions, the first of which has three windows."""
    rng = np.random.default_rng(seed)
    logits, (starts, ends) = logits_of(rng, kind, (2, 4, tokens)), characters(rng, layout, 4, tokens)
    found = best_spans(*logits, starts, ends, n, max_answer)
    wanted = [brute_force(logits[0, w], logits[1, w], starts[w], ends[w], n, max_answer) for w in range(4)]
    assert [found.spans(w) for w in range(4)] == wanted
    owners = np.array([0, 2, 0, 0])
    questions = merge_windows(found, owners, 3)
    assert questions.spans(0) == merged([wanted[0], wanted[2], wanted[3]], n)
    assert (questions.spans(1), questions.spans(2)) == ([], wanted[1])


@pytest.mark.parametrize("candidates", [1, 200, 700])
def test_windows_decoded_in_chunks_equal_those_decoded_at_once(monkeypatch, candidates):
    """Some of them have tokens that share characters, which are decoded one at a time."""
    rng = np.random.default_rng(7)
    logits = logits_of(rng, "tied", (2, 9, 12))
    starts, ends = (np.concatenate(x) for x in zip(characters(rng, "gaps", 6, 12), characters(rng, "shared", 3, 12), strict=True))
    order = rng.permutation(9)
    starts, ends = starts[order], ends[order]
    wanted = [brute_force(logits[0, w], logits[1, w], starts[w], ends[w], 5, 4) for w in range(9)]
    monkeypatch.setattr(decoding, "CANDIDATES", candidates)
    found = best_spans(*logits, starts, ends, 5, 4)
    assert [found.spans(w) for w in range(9)] == wanted and all(wanted)


def test_9_equal_scores_are_ordered_by_characters():
    starts = np.array([[0, 2, 4]])
    found = best_spans(np.zeros((1, 3)), np.zeros((1, 3)), starts, starts + 1, 4, 2)
    assert found.spans(0) == [Span(0, 1, 0), Span(0, 3, 0), Span(2, 3, 0), Span(2, 5, 0)]


@pytest.mark.parametrize("max_answer", [1, 2, 3, 4, 5])
def test_9_an_end_beyond_the_longest_answer_does_not_affect_the_start(max_answer):
    """The best end is `max_answer` tokens after the best start: one too far."""
    start, end, starts = np.zeros((1, 12)), np.zeros((1, 12)), np.arange(12)[None]
    start[0, 2], end[0, 2 + max_answer] = 5, 9
    found = best_spans(start, end, starts, starts + 1, 1, max_answer)
    assert found.spans(0) == [Span(3, 3 + max_answer, 9.0)], "the first start within max_answer of it"


def test_9_a_character_span_of_several_token_spans_is_listed_once_with_its_best_score():
    starts, ends = np.array([[0, 0, 1]]), np.array([[1, 1, 2]])  # a letter of two tokens, then a letter of one
    found = best_spans(np.array([[1.0, 3.0, 0.0]]), np.array([[2.0, 5.0, 0.0]]), starts, ends, 9, 30)
    assert found.spans(0) == [Span(0, 1, 8), Span(0, 2, 3), Span(1, 2, 0)]


def test_9_scores_are_fp32_sums():
    start, end = np.float32(16777216), np.float32(1)  # 2²⁴ + 1 is not an fp32 number
    found = best_spans(np.array([[start]]), np.array([[end]]), np.zeros((1, 1), int), np.ones((1, 1), int), 1, 1)
    assert found.spans(0) == [Span(0, 1, 16777216.0)]


def test_9_without_a_possible_answer_token_there_is_no_span():
    empty = np.zeros((1, 3), np.int32)
    assert best_spans(np.zeros((1, 3)), np.zeros((1, 3)), empty, empty, 5, 30).spans(0) == []
    assert best_spans(np.zeros((2, 0)), np.zeros((2, 0)), empty[:, :0], empty[:, :0], 5, 30).spans(1) == []


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_probabilities_are_a_softmax_over_spans_and_no_answer(seed, n, held):
    rng, held = np.random.default_rng(seed), min(held, n)
    found, null = no_spans(2, n), rng.normal(size=2).astype(np.float32) * 30
    found.score[0, :held] = np.sort(rng.normal(size=held))[::-1] * 30
    made = probabilities(found, null)
    assert made.sum(axis=1) == pytest.approx([1, 1]) and (made[0, held:n] == 0).all() and made[1, -1] == 1
    odds = np.exp(np.float64(found.score[0, :held]) - null[0])
    assert made[0, :held] == pytest.approx(made[0, -1] * odds, rel=1e-6, abs=1e-12)


CONTEXT = "Karl von Frisch worked out the dance of the bees in the 1940s and shared a Nobel Prize for it in 1973. " * 3
SMALL = Config(max_length=48, max_question=12, overlap=10, n_best=8)


@pytest.fixture
def features(tokenizer) -> qa.Features:
    """Three questions: several windows, one, several."""
    texts = {"many": CONTEXT, "one": CONTEXT[:90], "more": CONTEXT[7:]}
    return qa.features([QARow(name, "", text, "Who?", ()) for name, text in texts.items()], DATASETS["squad"], tokenizer, SMALL)


def read(features: qa.Features, logits: dict[int, np.ndarray], size: int = 1) -> qa.Reader:
    """A reader that has read the windows in shuffled batches of `size`, padded with −inf like the model's output."""
    reader, order = qa.Reader(features, SMALL), np.random.default_rng(3).permutation(sorted(logits))
    for items in (order[i : i + size] for i in range(0, len(order), size)):
        batch = np.full((len(items), features.lengths[items].max() + 2, 2), -np.inf, np.float32)
        for j, item in enumerate(items):
            batch[j, : features.lengths[item]] = logits[item]
        reader.add(items, batch)
    return reader


def drawn(features: qa.Features, seed: int) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {i: rng.normal(size=(n, 2)).astype(np.float32) for i, n in enumerate(features.lengths)}


@given(st.integers(0, 2**32), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_6_and_9_answers_equal_those_of_a_window_by_window_reading(tokenizer, features_once, seed, size):
    features, logits = features_once, drawn(features_once, seed)
    answers = read(features, logits, size).predictions()
    assert len(answers) == 3 and answers.windows.tolist() == np.bincount(features.table[:, 0]).tolist()
    for question, row in enumerate(features.rows):
        tokens = tokenize(tokenizer, [row.context])[0]
        first, spans, nulls = 1 + len(features.questions[question]) + 1, [], []
        for i in np.flatnonzero(features.table[:, 0] == question):
            a, b = features.table[i, 1:3]
            start, end = logits[i][first : first + b - a].T
            spans.append(brute_force(start, end, tokens.starts[a:b], tokens.ends[a:b], 8, 30))
            nulls.append(float(logits[i][0, 0] + logits[i][0, 1]))
        answer = answers[question]
        assert (answer.spans, answer.null, answer.id) == (merged(spans, 8), min(nulls), row.id)
        assert sum(answer.probabilities) == pytest.approx(1) and answers.diff[question] == answer.diff


@pytest.fixture(scope="module")
def features_once(tokenizer) -> qa.Features:
    return qa.features(
        [QARow(name, "", text, "Who?", ()) for name, text in (("many", CONTEXT), ("one", CONTEXT[:90]), ("more", CONTEXT[7:]))],
        DATASETS["squad"],
        tokenizer,
        SMALL,
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", ["null", "context"])
def test_logits_that_are_not_numbers_are_refused_with_the_question(features, value, place):
    logits = drawn(features, 0)
    last = len(features.lengths) - 1
    logits[last][0 if place == "null" else features.first(last) + 3, 1] = value
    with pytest.raises(ValueError, match="question more: the model's scores are not numbers"):
        read(features, logits, 4)


def test_logits_outside_the_context_are_ignored(features):
    logits = drawn(features, 0)
    plain = read(features, logits).predictions()
    for item, own in logits.items():
        own[1 : features.first(item)] = own[features.first(item) + len(features.window(item).ids) :] = np.nan
    assert read(features, logits).predictions()[0] == plain[0]


def test_a_question_without_a_scored_window_is_refused_by_its_id(features):
    logits = drawn(features, 0)
    of_one = int(np.flatnonzero(features.table[:, 0] == 1)[0])
    with pytest.raises(ValueError, match="question one: some or all of its windows were not scored"):
        read(features, {i: x for i, x in logits.items() if i != of_one}).predictions()
    with pytest.raises(ValueError, match="question more: some or all of its windows"):
        read(features, {i: x for i, x in logits.items() if i != max(logits)}).predictions()
    bare = dataclasses.replace(features, table=features.table[features.table[:, 0] != 2])
    with pytest.raises(ValueError, match="question more: some or all of its windows"):
        read(bare, {i: logits[i] for i in range(len(bare.table))}).predictions()


def test_a_readers_memory_does_not_grow_with_the_windows_length(tokenizer):
    """n-best and null score: some 250 bytes per window, so 130,000 windows need 33 MB; logits of 384 tokens would take 400 MB."""
    words = tokenize(tokenizer, [CONTEXT * 4])
    count, room = 2_000, len(words[0].ids)
    table = np.tile(np.array([0, 0, room, 0, 0], np.int32), (count, 1))
    table[:, 0] = np.arange(count)
    rows = [QARow(str(i), "", CONTEXT * 4, "?", ()) for i in range(count)]
    questions = Ragged(np.ones(count, np.int32), np.ones(count, int))
    contexts = qa.Contexts(rows, words, np.zeros(count, np.int32))
    made = qa.Features(rows, questions, contexts, table, pair_frame(tokenizer), 0, True)
    logits = np.random.default_rng(0).normal(size=(50, room + 4, 2)).astype(np.float32)
    tracemalloc.start()
    reader = qa.Reader(made, Config(n_best=20))
    for i in range(0, count, 50):
        reader.add(np.arange(i, i + 50), logits)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held / count < 400, held / count


def test_n_best_of_no_windows():
    assert merge_windows(NBest(*(part[:0] for part in no_spans(1, 5))), np.zeros(0, int), 2).spans(1) == []


@pytest.mark.parametrize("seed", range(10))
def test_questions_merged_in_groups_equal_those_merged_at_once(features, seed, monkeypatch):
    logits = drawn(features, seed)
    together = list(read(features, logits).predictions())
    monkeypatch.setattr(qa, "QUESTIONS_AT_ONCE", 1)
    assert list(read(features, logits).predictions()) == together

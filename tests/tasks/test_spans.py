"""Windows and answers, characters ↔ tokens (design, statements 1, 2, 3 and 5), with texts of every kind and several tokenizers."""

from itertools import chain

import numpy as np
import pytest
from conftest import TEXTS, changed, plain_token_span, plain_windows
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mtdnn_kit.config import Config
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.tasks import qa, spans
from mtdnn_kit.tasks.spans import NULL
from mtdnn_kit.tasks.tokens import TokenList, Tokens, tokenize

DATASET = DATASETS["squad"]


def tokens_of(tokenizer, text: str) -> Tokens:
    return tokenize(tokenizer, [text])[0]


def covering(tokens: Tokens, start: int, end: int) -> tuple[int, int] | None:
    """Characters of the smallest token span that covers [start, end), by checking every token."""
    span = plain_token_span(tokens, start, end)
    return (int(tokens.starts[span[0]]), int(tokens.ends[span[1]])) if span else None


def gold_logits(features: qa.Features, item: int) -> np.ndarray:
    """Logits [1, T, 2] of a model that predicts the labels of a window with certainty."""
    logits = np.zeros((1, features.lengths[item], 2), np.float32)
    logits[0, features.table[item, 3], 0] = logits[0, features.table[item, 4], 1] = 50
    return logits


@given(TEXTS, TEXTS, st.integers(1, 40), st.data())
@settings(max_examples=150, deadline=None)
def test_1_an_answer_comes_back_as_the_smallest_token_span_that_covers_it(any_tokenizer, question, context, max_answer, data):
    """Rows → windows → logits that match the labels → decoding; windows of 24 tokens that overlap by 5."""
    start = data.draw(st.integers(0, len(context) - 1))
    text = context[start : data.draw(st.integers(start + 1, len(context)))]
    row, config = (
        QARow("q", "", context, question, ((start, text),)),
        Config(max_length=24, max_question=8, overlap=5, max_answer=max_answer),
    )
    made, tokens = qa.features([row], DATASET, any_tokenizer, config), tokens_of(any_tokenizer, context)
    wanted = covering(tokens, start, start + len(text))
    for item, (_, a, b, *label) in enumerate(made.table.tolist()):
        whole = wanted is not None and wanted == covering(made.window(item), start, start + len(text)) and _all(tokens, a, b, wanted)
        assert (label != [NULL, NULL]) == whole
        event(f"labelled: {whole}, decoded: {whole and label[1] - label[0] < max_answer}, exact: {wanted == (start, start + len(text))}")
        if whole and label[1] - label[0] < max_answer:
            reader = qa.Reader(made, config)
            reader.add(np.array([item]), gold_logits(made, item))
            assert (reader.best.start[item, 0], reader.best.end[item, 0]) == wanted
            assert context[wanted[0] : wanted[1]] == text or not _at_boundaries(tokens, start, start + len(text))


@pytest.mark.parametrize(
    ("places", "answer", "wanted"),
    [
        ([(0, 4), (3, 4), (4, 5)], (3, 5), (1, 2)),  # the bytes of the fourth letter are split over two tokens
        ([(0, 4), (3, 4), (4, 5)], (0, 4), (0, 1)),
        ([(0, 1), (1, 2), (1, 4)], (0, 2), (0, 1)),
        ([(0, 1), (0, 1), (0, 1), (1, 2)], (0, 1), (0, 2)),  # one letter, three tokens
        ([(0, 2), (1, 3)], (1, 2), (1, 1)),
        ([(0, 0), (2, 3)], (0, 3), (1, 1)),
        ([(0, 0), (2, 3)], (0, 1), (-1, -1)),
    ],
)
def test_1_among_tokens_that_share_a_letter_those_that_make_the_answer_exact_are_taken(places, answer, wanted):
    starts, ends = np.array(places, np.int32).T
    found = spans.token_spans(TokenList(starts, starts, ends, np.array([len(places)])), np.array([0]), np.array([answer]))
    assert found.tolist() == [list(wanted)]


def _all(tokens: Tokens, a: int, b: int, wanted: tuple[int, int]) -> bool:
    """Whether all tokens within the characters `wanted` are in the window [a, b)."""
    inside = [i for i in range(len(tokens.ids)) if wanted[0] <= tokens.starts[i] < tokens.ends[i] <= wanted[1]]
    return a <= inside[0] and inside[-1] < b


def _at_boundaries(tokens: Tokens, start: int, end: int) -> bool:
    return start in tokens.starts[tokens.ends > tokens.starts] and end in tokens.ends[tokens.ends > tokens.starts]


def test_1_a_window_without_the_whole_answer_is_labelled_null():
    assert labels_of((4, 6), (0, 7), 10) == [14, 16]
    assert labels_of((4, 6), (4, 7), 10) == [10, 12]
    for window in ((0, 6), (5, 9), (0, 3), (7, 9)):
        assert labels_of((4, 6), window, 10) == [NULL, NULL]
    assert labels_of((-1, -1), (0, 7), 10) == [NULL, NULL]


def labels_of(span: tuple[int, int], window: tuple[int, int], first: int) -> list[int]:
    return spans.window_labels(np.array([span]), np.array([window]), np.array([first]))[0].tolist()


@given(st.integers(0, 9000), st.integers(1, 400), st.data())
@settings(deadline=None)
def test_2_every_context_token_is_in_a_window_and_neighbours_share_the_overlap(n, room, data):
    overlap = data.draw(st.integers(0, room // 2))
    found = spans.windows(np.array([n]), np.array([room]), overlap)[:, 1:].tolist()
    assert found[0][0] == 0 and found[-1][1] == n and all(b - a <= room for a, b in found)
    for (_, b), (a, _) in zip(found, found[1:], strict=False):
        assert b - a == overlap
    if len(found) > 1:
        assert found[-2][1] < n, "the last window has no new token"


@given(TEXTS, st.integers(1, 25_000), st.integers(1, 600), st.data())
@settings(max_examples=40, deadline=None)
def test_2_and_3_any_question_with_any_context(any_tokenizer, piece, length, words, data):
    """Contexts of 1 to 25,000 characters, questions of 1 to 600 tokens, every allowed overlap: every token is in a window, no window is
    too long, and the question is cut before pairing, which leaves the context its room."""
    frame, context = spans.pair_frame(any_tokenizer), (piece * (length // len(piece) + 1))[:length]
    max_length, max_question = data.draw(st.integers(32, 384)), data.draw(st.integers(1, 20))
    most = spans.context_room(max_length, max_question, frame) // 2
    overlap = data.draw(st.one_of(st.sampled_from([0, most]), st.integers(0, most)))
    config = Config(max_length=max_length, max_question=max_question, overlap=overlap)
    made = qa.features([QARow("q", "", context, "why " * words, ())], DATASET, any_tokenizer, config)
    question = tokens_of(any_tokenizer, "why " * words).ids
    assert made.questions[0].tolist() == question[:max_question].tolist() and len(question) >= words
    tokens, room = tokens_of(any_tokenizer, context), max_length - min(len(question), max_question) - frame.size
    assert set().union(*(range(a, b) for a, b in made.table[:, 1:3].tolist())) == set(range(len(tokens.ids)))
    sizes = made.table[:, 2] - made.table[:, 1]
    assert made.lengths.max() <= max_length and (sizes[:-1] == room).all()
    last = made.collate(np.array([len(sizes) - 1])).inputs["input_ids"][0].tolist()
    assert last == [*frame.prefix, *made.questions[0], *frame.middle, *tokens.ids[made.table[-1, 1] :], *frame.suffix]
    with pytest.raises(ValueError, match=f"^overlap: {most + 1} must lie between 0 and {most}"):
        qa.features([QARow("q", "", context, "?", ())], DATASET, any_tokenizer, changed(config, overlap=most + 1))


@pytest.mark.parametrize(
    ("max_length", "max_question", "overlap", "named"), [(64, 61, 0, "max_question"), (64, 20, 21, "overlap"), (64, 20, -1, "overlap")]
)
def test_2_lengths_that_do_not_fit_are_refused_by_name(tokenizer, max_length, max_question, overlap, named):
    with pytest.raises(ValueError, match=f"^{named}: "):
        spans.check_lengths(max_length, max_question, overlap, spans.pair_frame(tokenizer))
    spans.check_lengths(64, 20, 20, spans.pair_frame(tokenizer))  # room 41; at most half of it


@given(TEXTS, TEXTS)
@settings(max_examples=60, deadline=None)
def test_an_assembled_pair_equals_the_tokenizers_pair(any_tokenizer, question, context):
    frame = spans.pair_frame(any_tokenizer)
    q, c = tokenize(any_tokenizer, [question, context])
    own = any_tokenizer(question, context, return_token_type_ids=True)
    assert [*frame.prefix, *q.ids, *frame.middle, *c.ids, *frame.suffix] == own["input_ids"]
    parts = [len(frame.prefix), len(q.ids), len(frame.middle), len(c.ids), len(frame.suffix)]
    assert np.repeat(frame.types, parts).tolist() == own["token_type_ids"]


SPACE = st.text(st.sampled_from(" \t\n\r\x0b\x0c\x85\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"), max_size=6)


@given(TEXTS, SPACE)
@settings(max_examples=150, deadline=None)
def test_5_leading_white_space_shifts_spans_by_its_length(tokenizer, text, space):
    plain, moved = tokens_of(tokenizer, text), tokens_of(tokenizer, space + text)
    assert plain.ids.tolist() == moved.ids.tolist()
    assert (plain.starts + len(space))[plain.ends > plain.starts].tolist() == moved.starts[moved.ends > moved.starts].tolist()
    assert (plain.ends + len(space))[plain.ends > plain.starts].tolist() == moved.ends[moved.ends > moved.starts].tolist()


@given(SPACE, SPACE, st.sampled_from(["Alps", "🌍", "東京", "e\u0301lan", "שלום", "\x00x"]))
@settings(max_examples=80, deadline=None)
def test_5_white_space_before_question_and_context_is_not_part_of_an_answer(any_tokenizer, before, within, word):
    """Byte-level tokens may include the space before a word; the answer's characters do not."""
    context = f"{before}{word} {within}{word}."
    for start in (len(before), context.rindex(word)):
        row = QARow("q", "", context, before + "Where?", ((start, word),))
        made = qa.features([row], DATASET, any_tokenizer, Config(max_length=80, max_question=30, overlap=3))
        reader = qa.Reader(made, Config(n_best=3))
        reader.add(np.array([0]), gold_logits(made, 0))
        assert reader.predictions()[0].text(context, 0.0).strip("\x00") == word.strip("\x00")


@given(st.lists(st.tuples(TEXTS, st.integers(0, 59), st.integers(1, 20)), min_size=1, max_size=5), st.integers(1, 200), st.data())
@settings(max_examples=150, deadline=None)
def test_1_answers_located_together_match_the_plain_definition(any_tokenizer, texts, most, data):
    tokens = tokenize(any_tokenizer, [text for text, _, _ in texts])
    owners = np.array(data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6)), int)
    characters = np.array([(texts[i][1], texts[i][1] + texts[i][2]) for i in owners], np.int32).reshape(-1, 2)
    characters[::4] = -1
    before, spans.TOKENS_AT_ONCE = spans.TOKENS_AT_ONCE, most
    try:
        found = spans.token_spans(tokens, owners, characters)
    finally:
        spans.TOKENS_AT_ONCE = before
    assert [tuple(span) for span in found.tolist()] == [plain_token_span(tokens[i], *c) or (-1, -1) for i, c in zip(owners, characters)]


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 400)), max_size=6), st.data())
@settings(deadline=None)
def test_2_windows_of_many_texts_match_the_plain_definition(texts, data):
    overlap = data.draw(st.integers(0, min([room // 2 for _, room in texts], default=0)))
    sizes, rooms = np.array(texts, np.int64).reshape(-1, 2).T
    wanted = [[i, a, b] for i, (n, room) in enumerate(texts) for a, b in plain_windows(n, room, overlap)]
    assert spans.windows(sizes, rooms, overlap).tolist() == wanted


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6), st.integers(0, 20), st.integers(1, 9)), min_size=1), st.integers(3, 9))
def test_1_labels_of_many_windows_match_the_plain_definition(some, first):
    answers = [(-1, -1) if start % 5 == 4 else (start, start + more) for start, more, _, _ in some]
    parts = [(a, a + size) for _, _, a, size in some]
    wanted = [
        [first + start - a, first + end - a] if start >= a >= 0 and end < b and start >= 0 else [NULL, NULL]
        for (start, end), (a, b) in zip(answers, parts, strict=True)
    ]
    assert spans.window_labels(np.array(answers), np.array(parts), np.full(len(some), first)).tolist() == wanted


def plain_batch(features: qa.Features, items: np.ndarray) -> list[tuple]:
    """(ids, mask, types) of each item: its parts in order, then padding."""
    found, width = [], features.lengths[items].max()
    for item in items:
        frame, question = features.frame, features.questions[features.table[item, 0]]
        parts = [frame.prefix, question.tolist(), frame.middle, features.window(item).ids.tolist(), frame.suffix]
        ids, types = list(chain(*parts)), [kind for kind, part in zip(frame.types, parts, strict=True) for _ in part]
        more = [0] * (width - len(ids))
        found.append((ids + [features.pad_id] * len(more), [1] * len(ids) + more, types + more))
    return found


@given(st.lists(st.tuples(st.one_of(st.just(""), TEXTS), TEXTS), min_size=1, max_size=4), st.integers(1, 12), st.data())
@settings(max_examples=100, deadline=None)
def test_a_batch_is_the_parts_of_its_windows_in_order(any_tokenizer, texts, max_question, data):
    rows = [QARow(str(i), "", context, question, ()) for i, (question, context) in enumerate(texts)]
    made = qa.features(rows, DATASET, any_tokenizer, Config(max_length=24, max_question=max_question, overlap=2))
    items = np.array(data.draw(st.lists(st.integers(0, len(made.table) - 1), min_size=1, max_size=5)))
    batch, wanted = made.collate(items), plain_batch(made, items)
    names = ("input_ids", "attention_mask", "token_type_ids")
    assert list(zip(*(batch.inputs[name].tolist() for name in names), strict=True)) == wanted
    assert batch.tokens == sum(sum(mask) for _, mask, _ in wanted) and batch.targets.tolist() == made.table[items, 3:5].tolist()

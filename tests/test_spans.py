"""Windows and answers, characters ↔ tokens (design, statements 1 to 6 and 9). The tokenizer is the default encoder's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit import spans
from mtdnn_kit.spans import NULL, Span, Tokens

WORDS = st.sampled_from(
    ["the", "Moon", "unbelievably", "1973", "Alexius", "Komnenos", "café", "naïve", "x", "3.5", "don't", "élan", "🌍", "東京", "—"]
)
GAPS = st.sampled_from([" ", "  ", "\t", "\n", " \u00a0", "\u3000", ", ", "\x00", "\u200b", "e\u0301 "])
TEXTS = st.lists(st.tuples(GAPS, WORDS), min_size=1, max_size=40).map(lambda parts: "".join(gap + word for gap, word in parts))


def tokens_of(tokenizer, text: str) -> Tokens:
    return spans.tokenize(tokenizer, [text])[0]


@given(TEXTS, st.data())
@settings(max_examples=150, deadline=None)
def test_1_an_answer_decodes_to_the_smallest_token_span_that_covers_it(tokenizer, text, data):
    tokens = tokens_of(tokenizer, text)
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    found = spans.token_span(tokens, start, end)
    touched = [i for i in range(len(tokens.ids)) if tokens.starts[i] < end and tokens.ends[i] > start and tokens.starts[i] < tokens.ends[i]]
    assert found == ((touched[0], touched[-1]) if touched else None)


@given(TEXTS, st.data())
@settings(max_examples=100, deadline=None)
def test_1_an_answer_at_token_boundaries_comes_back_as_the_exact_text(tokenizer, text, data):
    tokens = tokens_of(tokenizer, text)
    first = data.draw(st.integers(0, len(tokens.ids) - 1)) if len(tokens.ids) else 0
    if not len(tokens.ids) or tokens.starts[first] == tokens.ends[first]:
        return
    last = data.draw(st.integers(first, min(first + 29, len(tokens.ids) - 1)))
    if tokens.starts[last] == tokens.ends[last]:
        return
    start, end = int(tokens.starts[first]), int(tokens.ends[last])
    a, b = spans.token_span(tokens, start, end)
    assert text[tokens.starts[a] : tokens.ends[b]] == text[start:end]
    scores = np.full((2, 1, len(tokens.ids)), -5.0, np.float32)
    scores[0, 0, a], scores[1, 0, b] = 9, 9
    best = spans.best_spans(*scores, tokens.starts[None], tokens.ends[None], 1, 30)[0][0]
    assert text[best.start : best.end] == text[start:end]


def test_1_a_window_that_lacks_a_part_of_the_answer_is_labelled_null():
    assert spans.window_label((4, 6), (0, 7), 10) == (14, 16)
    assert spans.window_label((4, 6), (4, 7), 10) == (10, 12)
    for window in ((0, 6), (5, 9), (0, 3), (7, 9)):
        assert spans.window_label((4, 6), window, 10) == (NULL, NULL)
    assert spans.window_label(None, (0, 7), 10) == (NULL, NULL)


@given(st.integers(0, 9000), st.integers(1, 400), st.data())
@settings(deadline=None)
def test_2_every_context_token_is_in_a_window_and_neighbours_share_the_overlap(n, room, data):
    overlap = data.draw(st.integers(0, room // 2))
    found = spans.windows(n, room, overlap)
    assert found[0][0] == 0 and found[-1][1] == n and all(b - a <= room for a, b in found)
    for (_, b), (a, _) in zip(found, found[1:], strict=False):
        assert b - a == overlap
    if len(found) > 1:
        assert found[-2][1] < n, "the last window holds nothing new"


@pytest.mark.parametrize(
    ("max_length", "max_question", "overlap", "named"), [(64, 61, 0, "max_question"), (64, 20, 21, "overlap"), (64, 20, -1, "overlap")]
)
def test_2_lengths_that_do_not_fit_are_refused_by_name(tokenizer, max_length, max_question, overlap, named):
    with pytest.raises(ValueError, match=f"^{named}: "):
        spans.check_lengths(max_length, max_question, overlap, spans.pair_frame(tokenizer))
    spans.check_lengths(64, 20, 20, spans.pair_frame(tokenizer))  # room 41, half of it


@given(TEXTS, TEXTS)
@settings(max_examples=60, deadline=None)
def test_a_pair_put_together_here_is_the_tokenizers_own(tokenizer, question, context):
    frame = spans.pair_frame(tokenizer)
    q, c = spans.tokenize(tokenizer, [question, context])
    own = tokenizer(question, context)
    assert [*frame.prefix, *q.ids, *frame.middle, *c.ids, *frame.suffix] == own["input_ids"]
    parts = [len(frame.prefix), len(q.ids), len(frame.middle), len(c.ids), len(frame.suffix)]
    assert np.repeat(frame.types, parts).tolist() == own["token_type_ids"]


@given(TEXTS, st.sampled_from(["", " ", "\t\n  ", "\u3000", "\u00a0 "]))
@settings(max_examples=100, deadline=None)
def test_5_leading_white_space_moves_no_span(tokenizer, text, space):
    plain, moved = tokens_of(tokenizer, text), tokens_of(tokenizer, space + text)
    assert plain.ids.tolist() == moved.ids.tolist()
    assert (plain.starts + len(space)).tolist() == moved.starts.tolist()
    assert (plain.ends + len(space)).tolist() == moved.ends.tolist()


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_5_token_characters_are_those_of_the_text(tokenizer, text):
    tokens = tokens_of(tokenizer, text)
    pieces = [text[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)]
    assert all(piece == piece.strip() for piece in pieces)
    for piece, i in zip(pieces, tokens.ids.tolist(), strict=True):
        word = tokenizer.convert_ids_to_tokens(i).removeprefix("##")
        if word not in tokenizer.all_special_tokens and piece.isascii():
            assert "".join(letter for letter in piece.lower() if letter.isprintable()) == word, "but for what the tokenizer drops"


def brute_force(start, end, starts, ends, n, max_answer) -> list[Span]:
    best: dict[tuple[int, int], np.float32] = {}
    for i in range(len(start)):
        for j in range(i, min(i + max_answer, len(start))):
            if starts[i] < ends[i] and starts[j] < ends[j]:
                key, score = (int(starts[i]), int(ends[j])), np.float32(start[i]) + np.float32(end[j])
                best[key] = max(score, best.get(key, score))
    return [Span(*key, float(score)) for key, score in sorted(best.items(), key=lambda item: (-item[1], item[0]))[:n]]


@given(st.integers(0, 2**32), st.integers(1, 25), st.integers(1, 30), st.integers(1, 12), st.booleans())
@settings(max_examples=150, deadline=None)
def test_9_n_best_is_what_brute_force_gives(seed, tokens, n, max_answer, ties):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(2, 3, tokens)).astype(np.float32)
    logits = np.round(logits) if ties else logits
    starts = np.sort(rng.integers(0, 2 * tokens, (3, tokens)), axis=1)
    ends = starts + rng.integers(0, 3, (3, tokens))
    found = spans.best_spans(*logits, starts, ends, n, max_answer)
    wanted = [brute_force(logits[0, w], logits[1, w], starts[w], ends[w], n, max_answer) for w in range(3)]
    assert found == wanted
    merged: dict[tuple[int, int], float] = {}
    for span in (s for window in wanted for s in window):
        merged[span[:2]] = max(span.score, merged.get(span[:2], span.score))
    assert spans.merge_spans(found, n) == [Span(*k, v) for k, v in sorted(merged.items(), key=lambda x: (-x[1], x[0]))[:n]]


def test_9_no_token_that_could_answer_gives_no_span():
    empty = np.zeros((1, 3), np.int32)
    assert spans.best_spans(np.zeros((1, 3)), np.zeros((1, 3)), empty, empty, 5, 30) == [[]]
    assert spans.best_spans(np.zeros((2, 0)), np.zeros((2, 0)), empty[:, :0], empty[:, :0], 5, 30) == [[], []]


def test_a_context_of_25_000_characters_is_covered(tokenizer):
    text = "word, " * 4166
    tokens = tokens_of(tokenizer, text)
    room = spans.context_room(384, 64, spans.pair_frame(tokenizer))
    found = spans.windows(len(tokens.ids), room, 128)
    assert set().union(*(range(a, b) for a, b in found)) == set(range(len(tokens.ids)))

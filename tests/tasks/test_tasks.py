"""Features, losses and predictions of the three task types (design, statements 1, 3, 4, 6 and 8)."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import plain_token_span, plain_windows
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from mtdnn_kit.config import Config
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.rows import MCCRow, QARow, SCRow
from mtdnn_kit.tasks import classification, mcc, qa, sc
from mtdnn_kit.tasks.answers import Answers
from mtdnn_kit.tasks.decoding import no_spans
from mtdnn_kit.tasks.spans import NULL
from mtdnn_kit.tasks.tokens import tokenize

CONTEXT = "Karl von Frisch worked out the dance of the bees in the 1940s and shared a Nobel Prize for it in 1973. " * 3
SMALL = dict(max_length=48, max_question=12, overlap=10, n_best=8)


def row(context=CONTEXT, question="Who worked out the dance?", answers=((0, "Karl von Frisch"),), name="q") -> QARow:
    return QARow(name, "Honey_bee", context, question, tuple(answers))


def features(tokenizer, *rows, **changes) -> qa.Features:
    return qa.features(list(rows), DATASETS["squad"], tokenizer, Config(**{**SMALL, **changes}))


def test_3_a_question_of_400_tokens_is_cut_before_pairing(tokenizer):
    """It keeps `max_question` tokens, and the context gets the rest of the window."""
    made = features(tokenizer, row(question="why " * 400))
    assert len(made.questions[0]) == 12 and made.lengths.max() == 48
    assert made.lengths.max() - 12 - made.frame.size == 33, "tokens of the context"
    assert made.table[:, 2].max() == len(tokenizer(CONTEXT, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("question", ["", " ", "?" * 2000, "\x00", "🌍" * 50])
def test_3_odd_questions_do_not_fail(tokenizer, question):
    made = features(tokenizer, row(question=question))
    assert len(made.questions[0]) <= 12 and made.collate(np.arange(len(made.lengths))).inputs["input_ids"].shape[1] <= 48


def test_1_windows_with_the_whole_answer_are_labelled_with_it_and_the_others_null(tokenizer):
    second = CONTEXT.index("1973", 150)
    made = features(tokenizer, row(answers=[(second, "1973")]), row(answers=[]))
    positions = {i: tuple(made.table[i, 3:5]) for i in range(len(made.table))}
    held = [i for i, label in positions.items() if label != (NULL, NULL)]
    assert held and all(made.table[i, 0] == 0 for i in held)
    for i in held:
        start, end = (position - made.first(i) for position in positions[i])
        tokens = made.window(i)
        assert (tokens.starts[start], tokens.ends[end]) == (second, second + 4)
    for i in set(positions) - set(held):
        starts = made.window(i).starts
        assert made.table[i, 0] == 1 or not (starts == second).any()


PASSAGES = (CONTEXT, CONTEXT[40:], "Bees dance.", CONTEXT[:150])
ASKED = [  # passage, question, answer
    (0, "Who?", "Karl von Frisch"), (2, "Who dances, then?", "Bees"), (1, "When?", "1973"), (0, "What?", ""), (3, "Why is it so?", ""),
    (2, "Bees do what?", "dance"), (1, "Which prize was it?", "Nobel Prize"), (0, "Since when?", "1940s"), (3, "Of?", "the bees"),
]  # fmt: skip


@pytest.mark.parametrize(("questions", "passages"), [(1, 1), (2, 1), (2, 3), (4, 2), (8192, 256)])
def test_1_questions_and_passages_read_in_blocks_equal_those_read_one_by_one(tokenizer, monkeypatch, questions, passages):
    """Windows belong to their own question, and answers are labelled, whatever the blocks: compared with reading each question
    separately."""
    monkeypatch.setattr(qa, "QUESTIONS_AT_ONCE", questions)
    monkeypatch.setattr(qa, "TEXTS", passages)
    rows = [
        row(PASSAGES[which], asked, [(PASSAGES[which].rindex(text), text)] if text else [], f"q{i}")
        for i, (which, asked, text) in enumerate(ASKED)
    ]
    made, wanted = features(tokenizer, *rows), []
    for number, one in enumerate(rows):
        tokens, words = tokenize(tokenizer, [one.context])[0], tokenizer(one.question, add_special_tokens=False)["input_ids"]
        span = plain_token_span(tokens, one.answers[0][0], one.answers[0][0] + len(one.answers[0][1])) if one.answers else None
        for a, b in plain_windows(len(tokens.ids), 48 - 3 - len(words), 10):
            inside, first = span is not None and a <= span[0] and span[1] < b, 2 + len(words)
            wanted.append([number, a, b, *([span[0] - a + first, span[1] - a + first] if inside else [NULL, NULL])])
        assert made.questions[number].tolist() == words
    assert made.table.tolist() == wanted and len(wanted) == 14 and sum(line[3:] != [NULL, NULL] for line in wanted) == 7
    ids = made.collate(np.arange(len(wanted))).inputs["input_ids"]
    for item, (number, a, b, *_) in enumerate(wanted):
        tokens = tokenize(tokenizer, [rows[number].context])[0].ids[a:b].tolist()
        assert ids[item, : made.lengths[item]].tolist() == [101, *made.questions[number].tolist(), 102, *tokens, 102]


@pytest.mark.parametrize("block", [1, 2, 5, 4096])
def test_sequences_made_in_blocks_equal_those_made_one_by_one(tokenizer, monkeypatch, block):
    monkeypatch.setattr(sc, "TOKENISED_AT_ONCE", block)
    texts = ["Bees dance.", "He won a prize in 1973.", "", "Why?", "The dance of the bees", "It is so.", "1940s"]
    for rows in ([SCRow(i, a, None, 0) for i, a in enumerate(texts)], [SCRow(i, a, texts[-i], 0) for i, a in enumerate(texts)]):
        made = sc.features(rows, DATASETS["cola"], tokenizer, Config(**SMALL))
        own = [tokenizer([one.first], None if one.second is None else [one.second]) for one in rows]
        assert [ids.tolist() for ids in made.ids] == [one["input_ids"][0] for one in own]
        assert [types.tolist() for types in made.type_ids] == [one["token_type_ids"][0] for one in own]
    rows = [MCCRow(i, texts[0], "It", (texts[i], texts[-i - 1], "x"), i % 3) for i in range(5)]
    made = mcc.features(rows, DATASETS["swag"], tokenizer, Config(**SMALL))
    own = [[tokenizer(one.context, f"It {choice}".strip())["input_ids"] for choice in one.choices] for one in rows]
    assert [ids.tolist() for ids in made.ids] == [ids for some in own for ids in some]
    batch = made.collate(np.array([3, 1])).inputs
    for place, number in enumerate((3, 1)):
        for c, ids in enumerate(own[number]):
            assert batch["input_ids"][place, c].tolist()[: len(ids)] == ids and batch["attention_mask"][place, c].sum() == len(ids)


def test_a_batch_equals_the_tokenizers_batch(tokenizer):
    rows = [row(context=CONTEXT[:100]), row(context=CONTEXT[:60], question="When?")]
    made = features(tokenizer, *rows)
    batch = made.collate(np.array([0, 1]))
    own = tokenizer([r.question for r in rows], [r.context for r in rows], padding=True, return_tensors="pt")
    assert all(torch.equal(batch.inputs[name], own[name]) for name in ("input_ids", "attention_mask", "token_type_ids"))
    assert batch.tokens == int(own["attention_mask"].sum()) and batch.targets.tolist() == made.table[:, 3:5].tolist()


def test_the_loss_is_the_sum_or_as_in_transformers_the_mean():
    torch.manual_seed(0)
    logits, targets = torch.randn(3, 7, 2), torch.tensor([[0, 0], [2, 4], [6, 6]])
    start, end = (cross_entropy(logits[..., i], targets[:, i]) for i in (0, 1))
    assert torch.isclose(qa.loss(logits, targets, SimpleNamespace(loss="sum")), start + end)
    assert torch.isclose(qa.loss(logits, targets, SimpleNamespace(loss="mean")), (start + end) / 2)


def read(made: qa.Features, logits_of, **changes) -> Answers:
    """Answers of a model whose logits [T, 2] of window i are logits_of(i); with padding at −inf as in the model's output."""
    reader = qa.Reader(made, Config(**{**SMALL, **changes}))
    for i in np.random.default_rng(0).permutation(len(made.lengths)):
        reader.add(np.array([i]), logits_of(i)[None].astype(np.float32))
    return reader.predictions()


def test_4_question_special_and_pad_tokens_are_never_an_answer(tokenizer):
    """They all score high and the context low; the answer still comes from the context."""
    made = features(tokenizer, row(context="Karl von Frisch"))

    def logits(i):
        out = np.full((60, 2), 50.0)  # padded on the right
        out[made.first(i) : made.first(i) + 4] = [[1, 0], [0, 0], [0, 0], [0, 2]]  # karl von fr ##isch
        out[NULL] = -9
        return out

    answer = read(made, logits)[0]
    assert answer.text("Karl von Frisch", 0.0) == "Karl von Frisch" and answer.spans[0].score == 3
    assert all("Karl von Frisch"[s.start : s.end] for s in answer.spans)


def test_4_an_answer_at_character_0_is_not_the_null_answer(tokenizer):
    made = features(tokenizer, row(context="Karl von Frisch"))
    assert tuple(made.table[0, 3:5]) == (made.first(0), made.first(0) + 3) != (NULL, NULL)
    answer = read(made, lambda i: np.where(np.arange(made.lengths[i])[:, None] == made.first(i), 5.0, 0.0) * np.ones(2))[0]
    assert (answer.spans[0].start, answer.text("Karl von Frisch", 0.0)) == (0, "Karl")


@given(st.integers(0, 2**32), st.floats(-6, 6), st.floats(0, 4))
@settings(max_examples=40, deadline=None)
def test_6_null_score_and_threshold(tokenizer, seed, threshold, more):
    made = features(tokenizer, row(name="a"), row(context=CONTEXT[:90], name="b"))
    rng = np.random.default_rng(seed)
    logits = [rng.normal(size=(n, 2)).astype(np.float32) for n in made.lengths]
    for answer, number, context in zip(read(made, lambda i: logits[i]), (0, 1), (CONTEXT, CONTEXT[:90]), strict=True):
        mine = np.flatnonzero(made.table[:, 0] == number)
        assert answer.null == min(logits[i][0, 0] + logits[i][0, 1] for i in mine)
        assert answer.diff == pytest.approx(answer.null - answer.spans[0].score)
        assert (answer.text(context, threshold) == "") == (answer.diff > threshold)
        assert answer.text(context, answer.diff) and not answer.text(context, np.nextafter(answer.diff, -np.inf)), "no answer only below it"
        assert not (answer.text(context, threshold) and not answer.text(context, threshold + more))
        assert sum(answer.probabilities) == pytest.approx(1) and len(answer.probabilities) == len(answer.spans) + 1


def test_8_without_a_possible_span_there_is_no_answer(tokenizer):
    made = features(tokenizer, row(context="\x00\u200b", answers=[]))
    answers = read(made, lambda i: np.zeros((made.lengths[i], 2)))
    answer = answers[0]
    assert answer.spans == [] and answer.text("\x00\u200b", np.inf) == "" and answer.diff == np.inf and answer.probabilities == [1.0]
    scores = qa.scores([row(context="\x00\u200b", answers=[])], answers, 0.0)
    assert scores["em"] == scores["no_answer_accuracy"] == 100 and scores["span_f1"] is None


def test_8_the_denominator_is_questions_not_windows(tokenizer):
    rows = [row(name="a"), row(name="b", answers=[])]
    made = features(tokenizer, *rows)
    assert len(made.lengths) > 2
    answers = read(made, lambda i: np.zeros((made.lengths[i], 2)))
    assert qa.scores(rows, answers, 0.0)["n"] == len(answers) == 2


def test_6_the_threshold_is_tuned_for_f1_and_not_for_em():
    """Two answers that are half right count for nothing in EM, which would be higher without them."""
    said = [("Karl von Frisch", -2.0, True), ("Karl", -1.0, False), ("von Frisch", 0.0, True), ("von Frisch", 0.5, True)]
    said.append(("in", 1.0, False))
    rows = [row(answers=[(0, "Karl von Frisch")] if answerable else [], name=str(i)) for i, (_, _, answerable) in enumerate(said)]
    best, diffs = no_spans(len(said), 1), [diff for _, diff, _ in said]
    best.start[:, 0] = [CONTEXT.index(text) for text, *_ in said]
    best.end[:, 0], best.score[:, 0] = [CONTEXT.index(text) + len(text) for text, *_ in said], 0
    answers = Answers([one.id for one in rows], np.array(diffs, np.float32), best, np.ones(len(said), int))
    found = {level: qa.scores(rows, answers, level) for level in diffs}
    assert {level: (scores["em"], scores["f1"]) for level, scores in found.items()} == {
        -2.0: (60, 60), -1.0: (40, 40), 0.0: (40, pytest.approx(56)), 0.5: (40, pytest.approx(72)), 1.0: (20, pytest.approx(52)),
    }  # fmt: skip
    assert max(diffs, key=lambda level: found[level]["f1"]) == 0.5 < qa.tune(rows, answers) == 0.75 < 1.0
    assert (found[0.5]["best_f1_threshold"], found[0.5]["best_em_threshold"]) == (0.75, -1.5)


def test_scores_that_are_not_numbers_are_refused_with_the_question(tokenizer):
    made = features(tokenizer, row(name="q17"))
    with pytest.raises(ValueError, match="question q17: the model's scores are not numbers"):
        read(made, lambda i: np.full((made.lengths[i], 2), np.nan))


@pytest.mark.parametrize("choices", [2, 3, 5])
def test_multiple_choice_accepts_any_number_of_choices(tokenizer, choices):
    endings = [tuple(f"jumps {c} times" + " far" * i for c in range(choices)) for i in range(3)]
    rows = [MCCRow(i, "A dog stands at a pond.", "It", endings[i], i % choices) for i in range(3)]
    made = mcc.features(rows, DATASETS["swag"], tokenizer, Config(**SMALL))
    batch = made.collate(np.array([2, 0]))
    assert batch.inputs["input_ids"].shape[:2] == (2, choices) and batch.targets.tolist() == [2 % choices, 0]
    own = tokenizer(rows[2].context, "It " + rows[2].choices[1])["input_ids"]
    assert batch.inputs["input_ids"][0, 1].tolist()[: len(own)] == own
    assert made.lengths.tolist() == [len(tokenizer(r.context, f"It {r.choices[0]}")["input_ids"]) for r in rows]


@pytest.mark.parametrize("second", [None, "He won a prize."])
def test_sequence_classification_accepts_sentences_and_pairs(tokenizer, second):
    rows = [SCRow(0, "Bees dance.", second, 1), SCRow(1, "word " * 90, second, 0)]
    made = sc.features(rows, DATASETS["cola"], tokenizer, Config(**SMALL))
    own = tokenizer(*(text for text in ("Bees dance.", second) if text))
    assert made.ids[0].tolist() == own["input_ids"] and made.type_ids[0].tolist() == own["token_type_ids"]
    assert made.lengths[1] == 48, "truncated to max_length"
    if second:
        kept = tokenizer(second, add_special_tokens=False)["input_ids"]
        assert made.ids[1].tolist()[-len(kept) - 1 : -1] == kept, "the longer part is truncated"


def test_probabilities_of_labels_are_the_softmax_of_the_logits():
    made = SimpleNamespace(rows=[SCRow(0, "a", None, 1), SCRow(1, "b", None, 0)])
    reader = classification.Reader(made, None)
    reader.add(np.array([1, 0]), np.array([[0.0, np.log(3)], [2.0, 1.0]], np.float32))
    first, second = reader.predictions()
    assert (first.label, second.label) == (0, 1) and second.probabilities == pytest.approx([0.25, 0.75])
    assert classification.scores(made.rows, [first, second], ("accuracy", "f1")) == {"accuracy": 0.0, "f1": 0.0, "n": 2}
    with pytest.raises(ValueError, match="row 0: .*not numbers"):
        reader.add(np.array([0]), np.array([[np.nan, 0]]))

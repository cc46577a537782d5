"""Scores of answers at any threshold: columns against single replies, kinds of answers by hand, the metrics of the kept runs."""

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from mtdnn_kit.compare import pairing
from mtdnn_kit.compare.outcomes import ANSWER_KINDS, of_questions, reply_at, span_kind
from mtdnn_kit.compare.pairing import Question, Reply
from mtdnn_kit.data.rows import QARow, gold_texts
from mtdnn_kit.metrics import exact, f1
from mtdnn_kit.tasks.null_threshold import score_at

TEXT = "The old bridge of Mostar fell in 1993, and the new one is of 2004."
SPANS = [(0, 14), (4, 14), (8, 14), (18, 24), (33, 37), (47, 54)]
DIFFS = st.one_of(st.sampled_from([-1.5, 0.0, 0.25, 2.0]), st.floats(-5, 5))


def scored(row: QARow, diff: float, spans: list[tuple[int, int]], p: float) -> Reply:
    """The reply at threshold 0, with its best spans."""
    golds, (a, b) = gold_texts(row), spans[0]
    best = [(*span, p) for span in spans]
    span = exact(TEXT[a:b], golds), f1(TEXT[a:b], golds)
    if diff <= 0:
        return Reply(a, b, TEXT[a:b], p, *span, 1 - p, best, *span, diff, 0.0)
    return Reply(None, None, "", 1 - p, exact("", golds), f1("", golds), 1 - p, best, *span, diff, 0.0)


@st.composite
def asked(draw) -> list[Question]:
    """Questions with two runs' replies, some of them unanswerable."""
    questions = []
    for i in range(draw(st.integers(1, 12))):
        golds = draw(st.lists(st.sampled_from(SPANS), max_size=2))
        row = QARow(str(i), "", TEXT, "Which?", tuple((a, TEXT[a:b]) for a, b in golds))
        replies = {
            name: scored(row, draw(DIFFS), draw(st.lists(st.sampled_from(SPANS), min_size=1, max_size=3)), draw(st.floats(0, 1)))
            for name in "AB"
        }
        questions.append(Question(row, replies))
    return questions


@given(asked(), st.tuples(DIFFS, DIFFS))
def test_columns_equal_single_replies(questions, thresholds):
    now = of_questions(questions).at(thresholds)
    for i, q in enumerate(questions):
        for r, name in enumerate("AB"):
            reply = reply_at(q.row, q.replies[name], thresholds[r])
            assert (now.em[r, i], now.f1[r, i], now.probability[r, i]) == (reply.em, reply.f1, reply.probability)
            assert now.given[r, i] == bool(reply.text)
        texts = [reply_at(q.row, q.replies[name], thresholds[r]).text for r, name in enumerate("AB")]
        assert now.differ[i] == (exact(texts[0], [texts[1]]) < 1)
    for r, name in enumerate("AB"):
        replies = [reply_at(q.row, q.replies[name], thresholds[r]) for q in questions]
        table = now.table(r)
        assert table["EM"] == pytest.approx(100 * np.mean([reply.em for reply in replies]))
        assert table["F1"] == pytest.approx(100 * np.mean([reply.f1 for reply in replies]))
        assert table["false answers"] == sum(bool(reply.text) and not q.row.answers for q, reply in zip(questions, replies, strict=True))
        assert table["missed"] == sum(not reply.text and bool(q.row.answers) for q, reply in zip(questions, replies, strict=True))


@given(asked())
def test_a_curve_has_the_score_at_each_level(questions):
    columns = of_questions(questions)
    levels, scores = columns.curve(0, columns.f1)
    assert list(levels) == sorted(set(columns.diff[0]))
    for level, score in zip(levels, scores, strict=True):
        assert score == pytest.approx(score_at(level, columns.f1[0], columns.nothing, columns.diff[0]))


@pytest.mark.parametrize(
    ("span", "golds", "kind"),
    [
        ((4, 14), [(4, 14)], "right"),
        ((0, 24), [(4, 14)], "too long"),
        ((8, 14), [(4, 14)], "cut off"),
        ((8, 24), [(4, 14)], "overlapping"),
        ((33, 37), [(4, 14)], "elsewhere"),
        ((14, 15), [(4, 14)], "elsewhere"),
        ((33, 37), [], "false answer"),
        ((8, 24), [(33, 37), (4, 14)], "overlapping"),
        ((0, 24), [(0, 37), (4, 14)], "too long"),
        ((None, None), [(4, 14)], "elsewhere"),
    ],
)
def test_kinds_of_answer(span, golds, kind):
    row = QARow("0", "", TEXT, "Which?", tuple((a, TEXT[a:b]) for a, b in golds))
    em = exact(TEXT[span[0] : span[1]], gold_texts(row)) if span[0] is not None else 0.0
    assert span_kind(row, span, em) == kind and kind in ANSWER_KINDS


def test_a_reply_without_nbest_is_the_same_at_any_threshold():
    row = QARow("0", "", TEXT, "Which?", ((4, "old bridge"),))
    said, silent = Reply(4, 14, "old bridge", None, 1.0, 1.0, None, []), Reply(None, None, "", None, 0.0, 0.0, None, [])
    columns = of_questions([Question(row, {"A": said, "B": silent})])
    assert np.isnan(columns.tuned).all()
    assert columns.at().given.tolist() == [[True], [False]]
    for threshold in (-1e9, 0.0, 1e9):
        now = columns.at([threshold, threshold])
        assert now.em.tolist() == [[1.0], [0.0]] and now.given.tolist() == [[True], [False]]
        assert now.is_kind(1, "missed").all() and reply_at(row, said, threshold) is said


def test_kept_runs_at_their_tuned_thresholds_have_the_scores_in_their_metrics():
    runs = pairing.named([ROOT / "results/sample" / name for name in ("qa", "qa-mcc-sc")])
    questions = pairing.pair(runs, nbest=1)
    columns = of_questions(questions)
    assert columns.tuned.tolist() == [run.metrics["squad"]["threshold"] for run in runs.values()]
    for i, run in enumerate(runs.values()):
        table = columns.at().table(i)
        assert (table["EM"], table["F1"]) == pytest.approx((run.metrics["squad"]["em"], run.metrics["squad"]["f1"]))
        levels, scores = columns.curve(i, columns.f1)
        assert scores.max() == pytest.approx(run.metrics["squad"]["best_f1"])
        below = levels <= run.metrics["squad"]["best_f1_threshold"] + 1e-6  # the threshold lies between two levels
        assert scores[levels == levels[below].max()].max() == pytest.approx(scores.max())


def test_answers_differ_if_only_the_third_run_does():
    row = QARow("0", "", TEXT, "Which?", ((4, "old bridge"),))
    same, other = scored(row, -1.0, [(4, 14)], 0.5), scored(row, -1.0, [(33, 37)], 0.5)
    questions = [Question(row, {"A": same, "B": same, "C": other}), Question(row, {"A": same, "B": same, "C": same})]
    assert of_questions(questions).at().differ.tolist() == [True, False]


def test_no_questions():
    assert of_questions([]).at().em.shape == (0, 0)

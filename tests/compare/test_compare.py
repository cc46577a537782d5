"""Answers of several runs side by side, only on identical rows; the lexical baseline; the paper's examples and tables."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from mtdnn_kit import Run, RunError
from mtdnn_kit.compare import outcomes, pairing
from mtdnn_kit.compare.baseline import lexical_answers
from mtdnn_kit.compare.paper import EXAMPLES, TABLES
from mtdnn_kit.data.registry import DATASETS
from mtdnn_kit.data.rows import QARow
from mtdnn_kit.data.sources import load
from mtdnn_kit.errors import CompareError
from mtdnn_kit.metrics import qa_scores


def test_runs_are_named_by_their_task_types_or_their_folders(runs, tmp_path):
    assert list(runs) == ["QA", "QA+SC"]
    assert list(pairing.named([runs["QA"], runs["QA"].path.parent / "two"])) == ["QA", "QA+SC"]
    with pytest.raises(CompareError, match="is named twice"):
        pairing.named([runs["QA"], runs["QA"].path])
    with pytest.raises(CompareError, match="is text; it must be a list"):
        pairing.named("runs/demo/qa")
    copy = runs["QA"].path.parent / "copy"
    shutil.copytree(runs["QA"].path, copy, dirs_exist_ok=True)
    assert list(pairing.named([runs["QA"], copy])) == ["one", "copy"]
    apart = [Path(shutil.copytree(copy, tmp_path / place)) for place in ("a/x/one", "b/y/one", "b/x/one")]
    assert list(pairing.named(apart[:2])) == ["x/one", "y/one"]
    assert list(pairing.named([apart[0], apart[2]])) == [str(apart[0]), str(apart[2])]


def test_replies_equal_the_runs_answers_and_scores(runs):
    questions = pairing.pair(runs)
    assert [q.row for q in questions] == load("squad", DATASETS["squad"], "validation", "sample").rows
    for name, run in runs.items():
        assert {q.row.id: q.replies[name].text for q in questions} == run.answers()
        for key in ("em", "f1"):
            mean = 100 * sum(getattr(q.replies[name], key) for q in questions) / len(questions)
            assert mean == pytest.approx(run.metrics["squad"][key])
    for q in questions:
        for reply in q.replies.values():
            assert reply.text == (q.row.context[reply.start : reply.end] if reply.start is not None else "")
            assert sum(p for *_, p in reply.best) + reply.nothing == pytest.approx(1, abs=1e-4)


def test_no_answer_is_given_only_above_the_threshold():
    row = QARow("1", "", "The cat sat.", "Who sat?", ((4, "cat"),))
    entry = {"id": "1", "null": 2.5, "nothing": 0.4, "nbest": [[4, 7, 1.0, 0.6]]}
    at, below = (pairing._reply(row, entry, threshold) for threshold in (1.5, 1.25))
    assert (at.text, at.f1, at.start) == ("cat", 1, 4) and (below.text, below.f1, below.start) == ("", 0, None)
    assert at.diff == below.diff == 1.5 and at.span_f1 == below.span_f1 == 1 and (at.probability, below.probability) == (0.6, 0.4)


def test_answers_differ_if_em_tells_them_apart():
    def differ(*texts):
        return outcomes.of_questions([question(*texts)]).at().differ.tolist()

    row = QARow("1", "", "The cat sat.", "Who sat?", ((0, "The cat"),))

    def question(*texts):
        replies = {str(i): pairing.Reply(0, len(t), t, 0.5, 1.0, 1.0, 0.1, []) for i, t in enumerate(texts)}
        return pairing.Question(row, replies)

    assert differ("The cat", "cat") == differ("cat") == [False] and differ("cat", "sat") == differ("cat", "") == [True]


def test_only_the_same_rows_are_compared(runs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(runs["QA"].path, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["data"]["squad/validation"]["fingerprint"] = "0"
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CompareError, match=r"other: .* was scored on other rows \(sample, fingerprint 0\)"):
        pairing.pair({"QA": runs["QA"], "other": Run(other)})
    manifest["status"] = "running"
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CompareError, match="other: there is no finished run"):
        pairing.pair({"QA": runs["QA"], "other": Run(other)})
    with pytest.raises(CompareError, match="was not scored on 'cola'; it was scored on squad"):
        pairing.pair(runs, task="cola")
    with pytest.raises(CompareError, match="at least one"):
        pairing.pair({})


def edited(run: Run, folder, edit, n: int | None = None) -> Run:
    """A copy of a run with n-best entries changed by `edit` and `n` in its metrics."""
    shutil.copytree(run.path, folder)
    lines = edit(list(run.nbest()))
    (folder / "predictions" / "squad_nbest.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(x) + "\n" for x in lines).encode()))
    metrics = run.metrics
    metrics["squad"]["n"] = n or len(lines)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return Run(folder)


@pytest.mark.parametrize(
    ("edit", "n", "message"),
    [
        (lambda lines: lines[:7], 132, "other: other has 7 answers to squad, but metrics.json says 132"),
        (lambda lines: lines[:-1], None, r"question 'windmill-6' is answered by QA, not by other \(1 such\)"),
        (lambda lines: [*lines, lines[5]], 132, "other answers question 'compass-6' twice"),
        (
            lambda lines: [{**lines[0], "id": "nobody"}, *lines[1:]],
            None,
            "other answers question 'nobody' which is not one of the scored rows",
        ),
        (
            lambda lines: [{**lines[0], "nbest": [[0, 9999, 1.0, 0.5]]}, *lines[1:]],
            None,
            "question 'compass-1': an n-best span lies outside",
        ),
    ],
)
def test_other_than_one_answer_per_question_is_refused_with_the_id(runs, tmp_path, edit, n, message):
    """Rows are never dropped silently."""
    with pytest.raises(CompareError, match=message):
        pairing.pair({"QA": runs["QA"], "other": edited(runs["QA"], tmp_path / "other", edit, n)})


def test_scores_of_another_run_are_refused(runs, tmp_path):
    """Their threshold would decide what this run answers."""
    other = edited(runs["QA"], tmp_path / "other", lambda lines: lines, None)
    metrics = other.metrics
    metrics["squad"]["f1"] += 0.5
    (other.path / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(CompareError, match="other: metrics.json of other says F1 .* for squad, but its answers .*: the files are of diff"):
        pairing.pair({"QA": runs["QA"], "other": Run(other.path)})


@pytest.mark.parametrize(
    "change",
    [
        {"null": float("nan")},
        {"null": "x"},
        {"nothing": None},
        {"id": 3},
        {"nbest": [[0.5, 3, 1.0, 0.1]]},
        {"nbest": [[0, 3, 1.0]]},
        {"nbest": {}},
    ],
)
def test_an_invalid_entry_is_refused_with_its_line(runs, tmp_path, change):
    with pytest.raises(CompareError, match=r"other, n-best of squad, line 3: not an id with finite scores"):
        pairing.pair({"other": edited(runs["QA"], tmp_path / "other", lambda lines: [*lines[:2], {**lines[2], **change}, *lines[3:]])})


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:500], lambda raw: b"text", lambda raw: gzip.compress(b"{"), lambda raw: gzip.compress(b"\xff")]
)
def test_a_damaged_n_best_file_is_named(runs, tmp_path, damage):
    other = edited(runs["QA"], tmp_path / "other", lambda lines: lines)
    file = other.path / "predictions" / "squad_nbest.jsonl.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(RunError, match=r"squad_nbest.jsonl.gz: cannot be read"):
        pairing.pair({"other": other})


def test_span_scores_and_null_minus_best_equal_the_runs(runs):
    for name, run in runs.items():
        replies = [q.replies[name] for q in pairing.pair(runs) if q.row.answers]
        for key in ("em", "f1"):
            assert 100 * sum(getattr(r, f"span_{key}") for r in replies) / len(replies) == pytest.approx(
                run.metrics["squad"][f"span_{key}"]
            )
            assert 100 * sum(getattr(r, key) for r in replies) / len(replies) == pytest.approx(run.metrics["squad"][f"has_answer_{key}"])
        assert all((r.diff > run.metrics["squad"]["threshold"]) == (r.text == "") for r in replies)


def test_answers_are_paired_by_id_in_any_file_order(runs, tmp_path):
    turned = edited(runs["QA+SC"], tmp_path / "turned", lambda lines: lines[::-1])
    wanted = pairing.pair(runs)
    assert pairing.pair({"QA": runs["QA"], "QA+SC": turned}) == wanted
    assert pairing.pair({"QA+SC": turned, "QA": runs["QA"]}) == [
        pairing.Question(q.row, {"QA+SC": q.replies["QA+SC"], "QA": q.replies["QA"]}, q.windows) for q in wanted
    ]
    assert len({q.replies["QA+SC"].diff for q in wanted}) > 100, "the answers differ enough to detect a wrong pairing"


def test_a_questions_windows_come_from_the_first_run_that_has_them(runs, tmp_path):
    more = edited(runs["QA"], tmp_path / "more", lambda lines: [{**line, "windows": line["windows"] + 3} for line in lines])
    silent = edited(runs["QA"], tmp_path / "silent", lambda lines: [{k: v for k, v in line.items() if k != "windows"} for line in lines])
    own = {entry["id"]: entry["windows"] for entry in runs["QA"].nbest()}
    assert {q.row.id: q.windows for q in pairing.pair({"QA": runs["QA"], "more": more})} == own
    assert {q.row.id: q.windows for q in pairing.pair({"more": more, "QA": runs["QA"]})} == {key: n + 3 for key, n in own.items()}
    assert {q.row.id: q.windows for q in pairing.pair({"silent": silent, "QA": runs["QA"], "more": more})} == own
    assert {q.windows for q in pairing.pair({"silent": silent})} == {None}


def test_two_runs_are_chosen_for_comparison(runs):
    assert pairing.two(runs) == ("QA", "QA+SC") and pairing.two(runs, ["QA+SC", "QA"]) == ("QA+SC", "QA")
    with pytest.raises(CompareError, match=r"pair: there is no run 'QA\+MCC'; choose from QA, QA\+SC"):
        pairing.two(runs, ["QA", "QA+MCC"])
    with pytest.raises(CompareError, match="must name two runs"):
        pairing.two(runs, ["QA"])


def test_a_kept_run_compares_like_the_run_and_contains_no_text(runs, tmp_path):
    kept = {name: tmp_path / "kept" / name for name in runs}
    for name, run in runs.items():
        run.keep(kept[name])
    again = pairing.pair({name: Run(path) for name, path in kept.items()})
    assert again == pairing.pair(runs)
    files = {file.relative_to(kept["QA"]).as_posix() for file in kept["QA"].rglob("*") if file.is_file()}
    assert files == {
        "config.yaml",
        "manifest.json",
        "metrics.json",
        "log.jsonl",
        "requirements.txt",
        "predictions/squad_nbest.jsonl.gz",
        "predictions/squad_held_out.jsonl.gz",
    }


def test_the_lexical_baseline_takes_the_words_nearest_to_the_shared_ones():
    context = "Cork is the bark of an oak. In Portugal farmers strip it every nine years, with axes."
    rows = [QARow("1", "", context, question, ()) for question in ("Where do farmers strip it?", "What is the bark of an oak?")]
    filler = [QARow(str(i), "", text, "?", ()) for i, text in enumerate(["In a town it is the rule.", "Of an age.", "It is with the sea."])]
    assert lexical_answers([*rows, *filler])[:2] == ["Portugal", "Cork"]
    assert lexical_answers([QARow("1", "", "", "Who?", ()), QARow("2", "", "who who", "Who?", ())]) == ["", ""]


def test_the_lexical_baselines_scores_on_the_sample():
    rows = [row for row in load("squad", DATASETS["squad"], "validation", "sample").rows if row.answers]
    answers = lexical_answers(rows)
    assert all(answer in row.context for answer, row in zip(answers, rows, strict=True))
    scores = qa_scores(answers, [[text for _, text in row.answers] for row in rows])
    assert (scores["em"], scores["f1"]) == pytest.approx((21.5909, 32.8680), abs=1e-4)


def test_the_papers_examples_are_found_in_the_real_data(real_data):
    rows = load("squad", DATASETS["squad"], "validation", str(real_data)).rows
    questions = [pairing.Question(row, {}) for row in rows]
    for example in EXAMPLES:
        found = pairing.find(questions, example.title, example.words)
        assert found is not None and example.gold in found.golds


def test_the_papers_tables_are_scores_of_6078_questions():
    for name, table in TABLES.items():
        for em, f1 in table.values():
            off = abs(em / 100 * 6078 - round(em / 100 * 6078))
            assert em < f1 and (off < 0.35 or (name, em) == ("table 3", 77.902)), (em, off)

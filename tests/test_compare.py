"""Answers of several runs side by side, and the table beside the paper's figures: exact, on rows that are the same."""

import gzip
import json
import shutil

import pytest

from mtdnn_kit import Run, compare, train
from mtdnn_kit.baseline import lexical_answers
from mtdnn_kit.metrics import qa_scores
from mtdnn_kit.paper import EXAMPLES, TABLES
from mtdnn_kit.registry import DATASETS
from mtdnn_kit.rows import QARow
from mtdnn_kit.sources import load


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory) -> dict[str, Run]:
    """Two runs of the tiny encoder on the sample, all its questions scored."""
    from mtdnn_kit import Config

    folder, made = tmp_path_factory.mktemp("runs"), []
    small = dict(encoder=tiny, max_steps=3, batch_size=4, precision="fp32", device="cpu", threads=1, threshold_articles=["Cork"])
    for name, tasks in (("one", ["squad"]), ("two", ["squad", "cola"])):
        weight = 1.0 if name == "one" else 0.5
        made.append(train(Config(**small, tasks=tasks, qa_weight=weight, run_dir=str(folder / name), seed=len(made))))
    return compare.named(made)


def test_runs_are_named_by_their_task_types_or_their_folders(runs):
    assert list(runs) == ["QA", "QA+SC"]
    assert list(compare.named([runs["QA"], runs["QA"].path.parent / "two"])) == ["QA", "QA+SC"]
    with pytest.raises(compare.CompareError, match="is named twice"):
        compare.named([runs["QA"], runs["QA"].path])
    with pytest.raises(compare.CompareError, match="is text; it must be a list"):
        compare.named("runs/demo/qa")
    copy = runs["QA"].path.parent / "copy"
    shutil.copytree(runs["QA"].path, copy, dirs_exist_ok=True)
    assert list(compare.named([runs["QA"], copy])) == ["one", "copy"]


def test_replies_are_the_runs_own_answers_and_scores(runs):
    questions = compare.pair(runs)
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


def test_answers_differ_as_em_compares_them():
    row = QARow("1", "", "The cat sat.", "Who sat?", ((0, "The cat"),))

    def question(*texts):
        replies = {str(i): compare.Reply(0, len(t), t, 0.5, 1.0, 1.0, 0.1, []) for i, t in enumerate(texts)}
        return compare.Question(row, replies)

    assert not question("The cat", "cat").differ and question("cat", "sat").differ and question("cat", "").differ
    assert not question("cat").differ


def test_the_table_sets_the_papers_figures_and_the_floors_beside(runs):
    questions = compare.pair(runs)
    table = {row["run"]: row for row in compare.score_table(runs, questions, "table 2")}
    assert list(table) == ["QA", "QA+SC", "always nothing", "lexical overlap"]
    metrics = {name: run.metrics["squad"] for name, run in runs.items()}
    assert table["QA+SC"]["EM"] == metrics["QA+SC"]["em"] and table["QA"]["span F1"] == metrics["QA"]["span_f1"]
    assert table["QA+SC"]["ΔF1 to QA"] == pytest.approx(metrics["QA+SC"]["f1"] - metrics["QA"]["f1"]) and table["QA"]["ΔF1 to QA"] is None
    assert (table["QA+SC"]["paper EM"], table["QA+SC"]["paper F1"]) == TABLES["table 2"]["QA+SC"]
    assert table["QA+SC"]["paper ΔF1"] == pytest.approx(76.435 - 76.18)
    nothing = 100 * sum(not q.row.answers for q in questions) / len(questions)
    assert table["always nothing"]["EM"] == table["always nothing"]["F1"] == pytest.approx(nothing)
    p = metrics["QA"]["em"] / 100
    assert table["QA"]["± EM"] == pytest.approx(100 * (p * (1 - p) / (len(questions) - 1)) ** 0.5), "a mean of zeros and ones"
    assert "paper EM" not in compare.score_table(runs, questions)[0]


def test_points_of_the_figures(runs):
    table = compare.score_table(runs, compare.pair(runs))
    points = compare.points(runs, table)
    assert points["QA"] == {"em": table[0]["EM"], "f1": table[0]["F1"], "em_error": table[0]["± EM"], "f1_error": table[0]["± F1"]}
    assert compare.by_weight(runs, points) == {"1.0": points["QA"], "0.5": points["QA+SC"]}


def test_only_the_same_rows_are_compared(runs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(runs["QA"].path, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["data"]["squad/validation"]["fingerprint"] = "0"
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(compare.CompareError, match=r"other: .* was scored on other rows \(sample, fingerprint 0\)"):
        compare.pair({"QA": runs["QA"], "other": Run(other)})
    manifest["status"] = "running"
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(compare.CompareError, match="other: there is no finished run"):
        compare.pair({"QA": runs["QA"], "other": Run(other)})
    with pytest.raises(compare.CompareError, match="was not scored on question answering task 'cola'"):
        compare.pair(runs, task="cola")
    with pytest.raises(compare.CompareError, match="at least one"):
        compare.pair({})


def test_a_run_scored_on_fewer_rows_is_compared_on_those(runs, tmp_path):
    fewer = tmp_path / "fewer"
    shutil.copytree(runs["QA"].path, fewer)
    lines = list(runs["QA"].nbest())[:7]
    (fewer / "predictions" / "squad_nbest.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(x) + "\n" for x in lines).encode()))
    questions = compare.pair({**runs, "fewer": Run(fewer)})
    assert [q.row.id for q in questions] == [entry["id"] for entry in lines]


def test_what_is_kept_of_a_run_compares_as_the_run_and_holds_no_text(runs, tmp_path):
    kept = {name: tmp_path / "kept" / name for name in runs}
    for name, run in runs.items():
        run.keep(kept[name])
    again = compare.pair({name: Run(path) for name, path in kept.items()})
    assert again == compare.pair(runs)
    files = {file.relative_to(kept["QA"]).as_posix() for file in kept["QA"].rglob("*") if file.is_file()}
    assert files == {"config.yaml", "manifest.json", "metrics.json", "log.jsonl", "predictions/squad_nbest.jsonl.gz"}


def test_the_lexical_baseline_takes_the_words_nearest_to_the_shared_ones():
    context = "Cork is the bark of an oak. In Portugal farmers strip it every nine years, with axes."
    rows = [QARow("1", "", context, question, ()) for question in ("Where do farmers strip it?", "What is the bark of an oak?")]
    filler = [QARow(str(i), "", text, "?", ()) for i, text in enumerate(["In a town it is the rule.", "Of an age.", "It is with the sea."])]
    assert lexical_answers([*rows, *filler])[:2] == ["Portugal", "Cork"]
    assert lexical_answers([QARow("1", "", "", "Who?", ()), QARow("2", "", "who who", "Who?", ())]) == ["", ""]


def test_the_lexical_baseline_is_far_above_nothing_on_the_sample():
    rows = [row for row in load("squad", DATASETS["squad"], "validation", "sample").rows if row.answers]
    answers = lexical_answers(rows)
    assert all(answer in row.context for answer, row in zip(answers, rows, strict=True))
    assert 20 < qa_scores(answers, [[text for _, text in row.answers] for row in rows])["f1"] < 50


def test_the_papers_examples_are_found_in_the_real_data(real_data):
    rows = load("squad", DATASETS["squad"], "validation", str(real_data)).rows
    questions = [compare.Question(row, {}) for row in rows]
    for example in EXAMPLES:
        found = compare.find(questions, example.title, example.words)
        assert found is not None and example.gold in found.golds


def test_the_papers_tables_are_scores_of_6078_questions():
    for name, table in TABLES.items():
        for em, f1 in table.values():
            off = abs(em / 100 * 6078 - round(em / 100 * 6078))
            assert em < f1 and (off < 0.35 or (name, em) == ("table 3", 77.902)), (em, off)

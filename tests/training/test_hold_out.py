"""Questions held out to tune the threshold: whole titles or passages, chosen by a hash of their text; by default the sample's articles."""

import hashlib
import json
import warnings
from dataclasses import asdict

import pytest
import yaml
from conftest import ROOT, changed

from mtdnn_kit import DATASETS, Config, ConfigError, Run, load, prepare, train
from mtdnn_kit.config import from_file
from mtdnn_kit.data.registry import ALWAYS, SAMPLE_ARTICLES
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.inference.loading import threshold_of
from mtdnn_kit.inference.model_card import card
from mtdnn_kit.runs.notes import threshold_notes
from mtdnn_kit.training.setup import read_rows

TITLES = list(SAMPLE_ARTICLES["squad"])
AGAIN = {"type": "qa", "folder": "squad", "columns": dict(DATASETS["squad"].columns)}


def asked(folder, articles: int = 12, titles: bool = True, unanswerable: bool = True) -> dict:
    """A custom dataset: articles of two passages, with two to five questions each."""
    rows = []
    for a in range(articles):
        for p in range(2):
            context = f"Depot {a}, hall {p}: crate {a * 7 + p} came from Port {a + 40} by rail."
            for q in range(2 + a % 4):
                can = not unanswerable or q % 2 == 0
                answers = {"text": [f"Port {a + 40}"] if can else [], "answer_start": [context.index("Port")] if can else []}
                row = {"id": f"{a}-{p}-{q}", "context": context, "question": f"Where did crate {q} come from?", "answers": answers}
                rows.append({**row, "title": f"Depot_{a}"} if titles else row)
    for split, some in (("train", rows), ("validation", rows[:8])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return {"type": "qa", "files": {split: str(folder / f"{split}.jsonl") for split in ("train", "validation")}}


def mine(config, row: dict, **changes) -> Config:
    return config(tasks=["mine"], qa_weight=1.0, define={"mine": row}, **changes)


def by_hash(names: list[str]) -> list[str]:
    """Unique names, in the order in which units are held out."""
    return sorted({*names}, key=lambda name: hashlib.blake2b(repr(name).encode(), digest_size=8).digest())


@pytest.mark.parametrize("titles", [True, False])
def test_a_share_of_whole_titles_or_passages_is_held_out_by_their_text(config, tmp_path, titles):
    row = asked(tmp_path, titles=titles)
    (train_rows, held, _), _ = read_rows(mine(config, row, eval_limit=None, threshold_ratio=0.25))
    told = [(question.title or question.context) for part in (train_rows, held) for question in part["mine"]]
    wanted, order = {}, by_hash(told)
    for count in range(1, len(order)):
        wanted.setdefault(abs(sum(told.count(name) for name in order[:count]) - 0.25 * len(told)), order[:count])
    assert {question.title or question.context for question in held["mine"]} == {*wanted[min(wanted)]}
    assert len(told) == 84 and len(held["mine"]) == pytest.approx(21, abs=5) and all(bool(q.title) == titles for q in held["mine"])
    lines = (tmp_path / "train.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "train.jsonl").write_text("".join(reversed(lines)))
    again = read_rows(mine(config, row, eval_limit=None, threshold_ratio=0.25))[0][1]
    assert {q.id for q in again["mine"]} == {q.id for q in held["mine"]}, "whatever the order of the file"


def test_no_other_task_trains_on_what_one_task_holds_out(config, tmp_path):
    """The same questions in other files: without titles, and under another title."""
    row = asked(tmp_path)
    first, *rest = map(json.loads, (tmp_path / "train.jsonl").read_text().splitlines())
    bare = [{k: v for k, v in one.items() if k != "title"} for one in (first, *rest)]
    moved = [{**one, "title": "Elsewhere"} for one in (first, *rest)]
    for name, rows in (("bare", bare), ("moved", moved)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    more = {name: {"type": "qa", "files": {"train": str(tmp_path / f"{name}.jsonl")}, "score": None} for name in ("bare", "moved")}
    made = config(tasks=["mine", "bare", "moved"], qa_weight=0.5, define={"mine": row, **more}, eval_limit=None, threshold_ratio=0.3)
    (left, held, _), _ = read_rows(made)
    passages = {question.context for question in held["mine"]}
    assert list(held) == ["mine"] and len(passages) > 2
    assert [len(left[task]) for task in ("mine", "bare", "moved")] == [84 - len(held["mine"])] * 3
    assert not any(question.context in passages for task in left for question in left[task])


def test_the_ratio_tunes_the_threshold_and_the_run_records_it(config, tmp_path):
    made = mine(config, asked(tmp_path), eval_limit=None, threshold_ratio=0.2, eval_every=2)
    run, held = train(made), prepare(made).held_out["mine"].rows
    titles, passages = {row.title for row in held}, {row.context for row in held}
    counts = {
        "questions": len(held),
        "unanswerable": sum(not row.answers for row in held),
        "titles": len(titles),
        "passages": len(passages),
    }
    assert run.manifest["held_out"] == {"mine": {"rule": "threshold_ratio 0.2", **counts, "always_answers": False}}
    assert len(passages) == 2 * len(titles) and run.scorings()[0]["scores"]["n"] == len(held)
    said = f"tuned on {len(held)} held-out questions of {len(titles)} titles (threshold_ratio 0.2), {counts['unanswerable']} of them"
    assert said in threshold_notes(run)[0] and f"{len(held)} questions, {counts['unanswerable']} of them" in card(run, "mine")
    assert "threshold_ratio: 0.2" in (run.path / "config.yaml").read_text()


@pytest.mark.parametrize("rule", [{"threshold_articles": ["Depot_1", "Depot_3"]}, {"threshold_ratio": 0.2}])
def test_without_unanswerable_held_out_questions_every_question_is_answered(config, tmp_path, rule):
    """Both scored questions and later ones, whatever a random model's null scores are."""
    run = train(mine(config, asked(tmp_path, unanswerable=False), eval_limit=None, **rule))
    scores, answers = run.metrics["mine"], run.answers("mine")
    assert all(answers.values()) and scores["f1"] == scores["span_f1"] and scores["em"] == scores["span_em"]
    assert scores["threshold"] == max(entry["null"] - entry["nbest"][0][2] for entry in run.nbest("mine"))
    assert threshold_notes(run)[0].startswith("mine: threshold: always answers, because no held-out question is unanswerable; tuned on")
    model = load(run)
    assert model.thresholds == {"mine": ALWAYS} and threshold_of(run, "mine") == ALWAYS
    assert all(model.answer(q, "Cork is the bark of an oak.").text for q in ("What?", "Who are you?", "When does it rain?"))
    assert f"{ALWAYS}" in card(run, "mine")
    manifest = run.manifest
    manifest["held_out"]["mine"]["unanswerable"] = 1
    write_json(run.path / "manifest.json", manifest)
    assert threshold_notes(run)[0].startswith(
        "mine: threshold: always answers, because that gives the best F1 on the held-out questions; tuned on"
    )


def test_an_answerable_question_whose_answer_scores_as_none_does_not_suppress_answers(config, tmp_path):
    """An accepted answer of only articles and punctuation scores like no answer: without unanswerable questions all are still answered."""
    row = asked(tmp_path, unanswerable=False)
    for split in ("train", "validation"):
        rows = [json.loads(line) for line in (tmp_path / f"{split}.jsonl").read_text().splitlines()]
        for one in rows:
            one["answers"] = {"text": [":"], "answer_start": [one["context"].index(":")]}
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    run = train(mine(config, row, max_steps=1, threshold_ratio=0.2))
    assert run.manifest["held_out"]["mine"]["always_answers"] and all(run.answers("mine").values())


def test_held_out_questions_without_any_answer_are_reported(config, tmp_path):
    row = asked(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    for one in lines:
        one["answers"] = one["answers"] if one["title"] != "Depot_3" else {"text": [], "answer_start": []}
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    run = train(mine(config, row, max_steps=1, eval_limit=None, threshold_articles=["Depot_3"], seed=1))
    assert "below all of the held-out questions, because none has an answer: hold out others" in threshold_notes(run)[0]
    assert run.manifest["held_out"]["mine"]["unanswerable"] == 10


def test_notes_on_thresholds_that_were_not_tuned(config, tmp_path):
    untuned = train(config(tasks=["squad", "cola"], qa_weight=0.5, max_steps=1))
    assert threshold_notes(untuned) == [
        "squad: threshold: 0, not tuned, because no questions were held out for it (threshold_articles, threshold_ratio)"
    ]
    assert untuned.manifest["held_out"] == {}
    always = {**asked(tmp_path, unanswerable=False), "unanswerable": False}
    run = train(mine(config, always, max_steps=1, run_dir=str(tmp_path / "always")))
    assert threshold_notes(run) == ["mine: threshold: always answers, because every question has an answer (unanswerable: false)"]


def test_a_threshold_that_will_not_be_tuned_is_reported_before_the_training(config, tmp_path):
    """Only for the main task, if it has unanswerable questions; not if some are held out or every question has an answer."""
    squad = dict(tasks=["squad", "cola"], qa_weight=0.5, eval_limit=None)
    rows = read_rows(config(**squad))[0]
    empty, all_ = (sum(len([q for q in some["squad"] if of(q)]) for some in (rows[0], rows[2])) for of in (lambda q: not q.answers, bool))
    with pytest.warns(
        UserWarning,
        match=f"^squad: no questions are held out .*, but {empty} of {all_} questions are unanswerable. The threshold stays 0, .*: 0.1, or",
    ):
        found = prepare(config(**squad))
    assert found.warned[0].startswith("squad: no questions are held out")
    always = {**asked(tmp_path, unanswerable=False)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(config(**squad, threshold_articles=["Cork"]))
        prepare(config(**{**squad, "tasks": ["cola", "squad"]}))
        prepare(config(**{**squad, "tasks": ["mine"], "qa_weight": 1.0}, define={"mine": {**always, "unanswerable": False}}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["alone", "cola"], "qa_weight": 0.5}, "threshold_ratio: no question answering task is scored"),
        ({"tasks": ["one"], "qa_weight": 1.0}, "threshold_ratio: all training questions of 'one' have one title, or one passage"),
        (
            {"tasks": ["squad", "few"], "qa_weight": 0.5, "threshold_ratio": 0.99},
            "threshold_ratio: nothing of task 'few' is left to train on",
        ),
    ],
)
def test_a_ratio_is_refused_where_nothing_can_be_held_out(config, tmp_path, changes, message):
    few = [line for line in (ROOT / "mtdnn_kit/data/sample/squad/train.jsonl").read_text().splitlines() if '"title": "Glacier"' in line]
    (tmp_path / "few.jsonl").write_text("\n".join(few))
    define = {"alone": {**AGAIN, "score": None}, "one": asked(tmp_path, articles=1)}
    define["few"] = {"type": "qa", "files": {"train": str(tmp_path / "few.jsonl")}, "score": None}
    with pytest.raises(ConfigError, match=f"^{message}"):
        read_rows(config(define=define, **{"threshold_ratio": 0.5, **changes}))


def test_articles_of_data_without_titles_are_refused_and_the_ratio_is_suggested(config, tmp_path):
    with pytest.raises(ConfigError, match=r"has the title 'Cork'\. Its questions have no titles\. Or set .*threshold_ratio: 0\.1\.$"):
        read_rows(mine(config, asked(tmp_path, titles=False), threshold_articles=["Cork"]))


def test_only_the_sample_has_default_articles(tmp_path):
    assert Config().threshold_articles == TITLES and Config(threshold_articles=[]).threshold_articles == []
    own = {"mine": asked(tmp_path)}
    none = [
        {"data": "hub"},
        {"data": str(tmp_path)},
        {"tasks": ["cola", "mrpc"], "qa_weight": 0.5},
        {"tasks": ["mine"], "qa_weight": 1.0, "define": own},
        {"tasks": ["alone", "cola"], "define": {"alone": {**AGAIN, "score": None}}},
        {"tasks": ["alone", "cola"], "define": {"alone": {**AGAIN, "train": "validation"}}},
        {"tasks": ["part", "cola"], "define": {"part": {**AGAIN, "score": "part", "validation_ratio": 0.5}}},
        {"tasks": ["file", "cola"], "define": {"file": {**AGAIN, **own["mine"]}}},
        {"threshold_ratio": 0.1},
    ]
    assert [Config(**changes).threshold_articles for changes in none] == [[]] * len(none)
    assert Config(tasks=["mine", "squad"], define=own).threshold_articles == TITLES
    assert changed(Config(), seed=4).threshold_articles == TITLES and Config(**asdict(Config())) == Config()


def test_a_run_records_which_articles_of_the_sample_were_held_out(config, tmp_path):
    """A run that names them explicitly is the same run."""
    base = dict(tasks=["squad"], qa_weight=1.0, max_steps=2)
    one, two = (train(config(**base, threshold_articles=x, run_dir=str(tmp_path / str(i)))) for i, x in enumerate((None, TITLES)))
    assert yaml.safe_load((one.path / "config.yaml").read_text())["threshold_articles"] == TITLES
    assert one.metrics == two.metrics and one.manifest["held_out"] == two.manifest["held_out"]
    assert Run(one.path).parameters.threshold_articles == TITLES
    assert from_file(ROOT / "parameters/demo.yaml").threshold_articles == TITLES
    assert from_file(ROOT / "parameters/demo.yaml", data=str(tmp_path)).threshold_articles == []

"""A run, a study and a schedule in a notebook: the contents of their folders and arrays, with everything escaped."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from mtdnn_kit import Run
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.files.wording import duration
from mtdnn_kit.sampler import draw, weights
from mtdnn_kit.studies.study import read_study
from mtdnn_kit.views.reprs import MOST_LISTED

EVIL = '<script>window.pwned=1</script><img src=x onerror="window.pwned=1">'
ALLOWED = {"div", "b", "p", "table", "tr", "th", "td", "span"}


class Reader(HTMLParser):
    """The cells of a page's table, its texts and its tags; asserts that there are no attributes other than style and scope."""

    def __init__(self, html: str):
        super().__init__()
        self.rows, self.tags, self.text, self.cell = [], set(), [], False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {"style", "scope"}, attrs
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = True

    def handle_endtag(self, tag):
        self.cell = self.cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.text.append(data)
        if self.cell:
            self.rows[-1][-1] += data


def read(shown: object) -> Reader:
    """The HTML of an object in a notebook, checked for forbidden tags and colours."""
    html = shown._repr_html_()
    found = Reader(html)
    assert found.tags <= ALLOWED and "url(" not in html and not re.search(r"(?<![-\w])color:", html), "text colours are the theme's"
    return found


def test_a_run_shows_the_contents_of_its_folder():
    run = Run(ROOT / "results/sample/qa-mcc-sc")
    found, metrics = read(run), run.metrics
    assert found.rows[0] == ["task", "steps", "passes", "scores, percent", "rows scored"]
    assert [row[0] for row in found.rows[1:]] == run.config["tasks"]
    tuned = f"(threshold {metrics['squad']['threshold']:.2f}, tuned on {run.manifest['held_out']['squad']['questions']} questions)"
    assert found.rows[1][3] == f"EM {metrics['squad']['em']:.1f}, F1 {metrics['squad']['f1']:.1f} {tuned}" and found.rows[1][4] == "132"
    assert found.rows[3][3] == f"matthews {metrics['cola']['matthews']:.1f}, accuracy {metrics['cola']['accuracy']:.1f}"
    assert sum(int(row[1]) for row in found.rows[1:]) == run.manifest["steps"] == len(run.log())
    assert f"on {run.manifest['machine'].rpartition(', ')[0]}, {run.manifest['precision']}, 1 thread; torch" in "".join(found.text)
    head = "".join(found.text).split("task")[0]
    assert f"{run.name} · finished · {run.manifest['steps']} steps in {duration(run.manifest['train_seconds'])} · seed 0" in head


def test_a_run_in_progress_has_no_scores_yet(tmp_path):
    run = Run(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"tasks": ["squad", "cola"]}))
    write_json(
        tmp_path / "manifest.json", {"status": "running", "steps": 1234, "draws": {"squad": 1200, "cola": 34}, "passes": {"squad": 1}}
    )
    found = read(run)
    assert found.rows[1:] == [["squad", "1,200", "1", "–", "–"], ["cola", "34", "–", "–", "–"]]
    assert "running · 1,234 steps" in "".join(found.text) and " in " not in "".join(found.text)


@pytest.mark.parametrize("content", [None, "", "[]", '{"status": 3}', "{", '{"status": "finished"}'])
def test_a_folder_that_is_not_a_run_is_shown_as_such_without_an_error(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    found = read(Run(tmp_path))
    assert found.rows == [] and tmp_path.name in "".join(found.text)
    assert "cannot be read" in repr(Run(tmp_path))


def test_everything_in_a_runs_files_is_escaped(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"tasks": [EVIL]}))
    manifest = {"status": "finished", "seed": 3, "precision": EVIL, "steps": 3, "draws": {EVIL: 3}, "passes": {EVIL: EVIL}}
    write_json(folder / "manifest.json", manifest)
    (folder / "metrics.json").write_text(json.dumps({EVIL: {EVIL: 1.0, "n": 7}}))
    found = read(Run(folder))
    assert found.rows[1] == [EVIL, "3", EVIL, f"{EVIL} 1.0", "7"]
    write_json(folder / "manifest.json", {**manifest, "status": EVIL})
    assert EVIL in "".join(read(Run(folder)).text)


def study(tmp_path, **content):
    (tmp_path / "asked.yaml").write_text(
        "# Is it <b>so</b>?\n" + yaml.safe_dump({"base": "parameters/demo.yaml", **content}, sort_keys=False)
    )
    return read_study(tmp_path / "asked.yaml")


def test_a_study_shows_its_runs_their_changes_and_their_status(tmp_path, monkeypatch):
    monkeypatch.setenv("MTDNN_RUNS", str(tmp_path / "runs"))
    asked = study(tmp_path, variants={"QA": {"tasks": ["squad"], "qa_weight": 1.0}, "all": {}}, seeds=[0, 1], fixed={"epochs": 2})
    for name, status in (("qa-seed-0", "finished"), ("qa-seed-1", "running")):
        (tmp_path / "runs" / "asked" / name).mkdir(parents=True)
        write_json(tmp_path / "runs" / "asked" / name / "manifest.json", {"status": status})
    (tmp_path / "runs" / "asked" / "all-seed-1").mkdir()
    (tmp_path / "runs" / "asked" / "all-seed-1" / "manifest.json").write_text("{")
    found = read(asked)
    assert found.rows[1:] == [
        ["QA seed 0", "finished", "epochs: 2, tasks: ['squad'], qa_weight: 1.0, seed: 0"],
        ["QA seed 1", "begun", "epochs: 2, tasks: ['squad'], qa_weight: 1.0, seed: 1"],
        ["all seed 0", "not begun", "epochs: 2, seed: 0"],
        ["all seed 1", "cannot be read", "epochs: 2, seed: 1"],
    ]
    text = "".join(found.text)
    assert (
        "Is it <b>so</b>?" in text and "all against QA" in text and "asked · 1 finished · 1 begun · 1 not begun · 1 cannot be read" in text
    )


def test_of_hundreds_of_runs_only_the_first_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("MTDNN_RUNS", str(tmp_path / "runs"))
    found = read(study(tmp_path, variants={EVIL: {}, "b": {}}, seeds=list(range(100))))
    assert len(found.rows) == 1 + MOST_LISTED and found.rows[1][0] == f"{EVIL} seed 0"
    assert f"and {200 - MOST_LISTED} more" in "".join(found.text) and "200 not begun" in "".join(found.text)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 5))
def test_a_schedule_shows_its_draws_and_passes(sizes, epochs, seed):
    named = {f"task <{i}>": size for i, size in enumerate(sizes)}
    made = draw(seed, named, lambda epoch: weights("proportional", sizes), "cycle", epochs)
    found, n = read(made), len(made)
    assert [row[0] for row in found.rows[1:]] == list(named)
    for row, i in zip(found.rows[1:], range(len(sizes)), strict=True):
        count = int((made.task == i).sum())
        assert row[1:] == [f"{count:,}", f"{count / n:.1%}", str(len(np.unique(made.pass_[made.task == i])))]
    assert f"{n:,} step{'s' * (n != 1)} · {epochs} epoch{'s' * (epochs != 1)}" in "".join(found.text)
    assert repr(made).startswith(f"Schedule({n:,} steps: task <0> ")


def test_a_bar_is_proportional_to_its_share():
    made = draw(0, {"a": 30, "b": 10}, lambda epoch: weights("proportional", [30, 10]), None, 1.0, sampler="sequential")
    assert [float(x) for x in re.findall(r"width:([\d.]+)em;height", made._repr_html_())] == [4.5, 1.5]


def test_durations():
    assert [duration(s) for s in (0, 59.6, 3599, 3600, 3909)] == ["0:00", "1:00", "59:59", "1:00:00", "1:05:09"]

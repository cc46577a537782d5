"""Several processes on one study folder: each run is made once, by the process that takes it; others take over the runs of a dead
process."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import stub_worker
from conftest import ROOT, study_text
from processes import HANGS, until

from mtdnn_kit.__main__ import _not_all, main, parser
from mtdnn_kit.errors import ConfigError, LockedError, RunError, StudyError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.files.locks import held
from mtdnn_kit.runs.claim import earlier, read_places
from mtdnn_kit.studies import engines, page, sharing, status
from mtdnn_kit.studies.arms import TUNED
from mtdnn_kit.studies.running import run_study
from mtdnn_kit.studies.sharing import Todo, shard_of
from mtdnn_kit.studies.study import Study, read_study

STUB = (sys.executable, "-S", stub_worker.__file__)
DRIVER = f"""
import json, sys
from mtdnn_kit.studies import engines, running, sharing
from mtdnn_kit.studies.study import read_study
engines.WORKER, engines.BEAT, sharing.LOOK = {STUB!r}, 0.05, 0.1
print(json.dumps([*running.run_study(read_study(sys.argv[1]), sys.argv[2])]))
"""
NAMES = [f"{variant} seed {seed}" for seed in (0, 1) for variant in "abc"]  # in order of seeds


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    """Six runs; its file is mine.yaml. Workers of this process are stubs."""
    (tmp_path / "base.yaml").write_text("tasks: [squad]\nqa_weight: 1.0\ndevice: cpu\n")
    variants = {"a": {}, "b": {"epochs": 2}, "c": {"epochs": 4}}
    (tmp_path / "mine.yaml").write_text(study_text({"base": str(tmp_path / "base.yaml"), "variants": variants, "seeds": [0, 1]}))
    made = read_study(tmp_path / "mine.yaml")
    sources = status._sources(next(iter(made.configs(tmp_path).values())))
    data = {f"{source[0]}/{source[1]}": {"fingerprint": status._fingerprint(source)} for source in sources}
    (tmp_path / "data.json").write_text(json.dumps(data))
    monkeypatch.setenv("STUB_DATA", str(tmp_path / "data.json"))
    for place, name, value in ((engines, "WORKER", STUB), (engines, "BEAT", 0.05), (sharing, "LOOK", 0.1)):
        monkeypatch.setattr(place, name, value)
    return made


@pytest.fixture
def todo(study, tmp_path):
    """todo(): the runs that a process starting now would make; closed at the end."""
    made = []

    def new(**more) -> Todo:
        planned = {name: study.runs[name] for name in NAMES}
        configs = study.configs(tmp_path / "runs")
        made.append(Todo(study, tmp_path / "runs", planned, {name: configs[name] for name in planned}, **more))
        return made[-1]

    yield new
    for one in made:
        one.close()


def finish(one: Todo, name: str, **changes) -> None:
    """Finishes a run as another process would, with these parameters."""
    config, data = one.configs[name], json.loads(Path(os.environ["STUB_DATA"]).read_text())
    stub_worker.finish(config.run_dir, {**asdict(config), **changes}, {"code": one.code}, data)


def lives(folder: Path) -> list[tuple[str, int]]:
    return [tuple(json.loads(line)) for line in (folder / "lives").read_text().splitlines()] if (folder / "lives").exists() else []


def test_two_processes_make_each_run_once_and_take_over_the_run_of_a_killed_third(study, tmp_path):
    folder = tmp_path / "runs"

    def begin(**environment) -> subprocess.Popen:
        command = [sys.executable, "-c", DRIVER, tmp_path / "mine.yaml", folder]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})

    third = begin(STUB_HANGS="1")
    until(lambda: lives(folder), study=third)
    others = begin(), begin()
    finished = [folder / name.replace(" ", "-") / "manifest.json" for name in NAMES]
    until(lambda: all(file.exists() for file in finished[1:]))
    time.sleep(0.5)
    assert [process.poll() for process in others] == [None, None] and not finished[0].exists(), "they wait for the run of the third process"
    third.send_signal(signal.SIGKILL)
    third.communicate()
    said = [process.communicate(timeout=HANGS)[0] for process in others]
    assert [process.returncode for process in others] == [0, 0] and [json.loads(text) for text in said] == [NAMES, NAMES]
    made = lives(folder)
    assert Counter(name for name, _ in made) == {**dict.fromkeys(NAMES, 1), NAMES[0]: 2}
    assert {by for _, by in made} <= {third.pid, *(process.pid for process in others)} and made[0] == (NAMES[0], third.pid)
    assert not list((folder / ".taken").glob("*.failed"))


def test_each_process_takes_free_runs_and_waits_for_the_rest_or_ends(todo):
    one, two, third = todo(), todo(), todo(wait=False)
    mine, theirs = one.jobs(), two.jobs()
    taken = [next(mine).name, next(theirs).name, next(mine).name]
    assert taken == NAMES[:3] and [job.name for job in third.jobs()] == NAMES[3:]
    assert next(theirs) is None and two.news() == {}
    finish(one, NAMES[0])
    one.give_back(NAMES[0], "")
    one.give_back(NAMES[2])  # given back without having been tried
    third.close()
    assert [job.name for job in theirs if job] == NAMES[2:], "the run that was given back; the finished one is not repeated"
    assert two.news() == {NAMES[0]: ""} and two.finished_late([]) == [NAMES[0]]


def test_the_process_that_takes_over_reports_the_dead_one(study, todo, tmp_path):
    one = todo()
    holder = tmp_path / "runs" / ".taken" / "a-seed-0.holder"
    holder.parent.mkdir(parents=True, exist_ok=True)
    holder.write_text("process 7 on node3 since 2026-01-02 03:04:05")
    told = []
    run_study(study, tmp_path / "runs", watch=lambda progress: told.append([line for state in progress.states for line in state.said]))
    assert told[-1] == ["a seed 0: process 7 on node3 since 2026-01-02 03:04:05 died with it; this process takes it over"]
    assert not list(holder.parent.glob("*.holder")) and one.died == {}


def test_a_run_that_failed_elsewhere_is_retried_only_by_a_later_process(todo):
    one, two = todo(), todo()
    mine = one.jobs()
    next(mine)
    one.give_back(NAMES[0], "memory ran out")
    assert next(two.jobs()).name == NAMES[1] and two.news() == {NAMES[0]: "memory ran out"} and two.news() == {}
    later = todo()
    assert next(later.jobs()).name == NAMES[0] and not list((later.folder / ".taken").glob("*.failed"))


def test_a_run_that_another_process_made_from_another_file_is_refused(todo):
    one = todo()
    finish(one, NAMES[1], learning_rate=0.5)
    assert [job.name for job in one.jobs()] == [name for name in NAMES if name != NAMES[1]]
    with pytest.raises(StudyError, match=r"b seed 0 \(done\): learning_rate: 0\.5, now 0\.0006"):
        one.finished_late([])
    two = todo(if_changed="redo")
    finish(two, NAMES[1], learning_rate=0.25)
    with pytest.raises(StudyError, match=r"learning_rate: 0\.25[^*]* resume the others, .* or --if-changed keep$"):
        two.finished_late([NAMES[1]])


def test_a_run_that_another_process_left_unfinished_is_checked_again_when_it_is_taken(todo):
    one, two = todo(), todo()
    for name, rate in ((NAMES[0], 0.5), (NAMES[1], 0.0006)):
        finish(one, name, learning_rate=rate)
        folder = Path(one.configs[name].run_dir)
        (folder / "manifest.json").write_text((folder / "manifest.json").read_text().replace("finished", "running"))
        (folder / "checkpoints" / "step-0000005").mkdir(parents=True)
    assert [job.name for job in one.jobs()] == NAMES[1:]
    assert "a seed 0 (begun): learning_rate: 0.5, now 0.0006" in one.news()[NAMES[0]]
    one.close()
    two.if_changed = "redo"
    assert [job.name for job in two.jobs()] == NAMES
    assert not Path(two.configs[NAMES[0]].run_dir).exists() and Path(two.configs[NAMES[1]].run_dir, "checkpoints").exists()


def test_a_failure_is_reported_and_the_rest_is_made(study, tmp_path, monkeypatch):
    monkeypatch.setenv("STUB_FAILS", NAMES[4])
    with pytest.raises(StudyError, match=r"1 of 6 runs failed\.\nb seed 1: its process ended with 1: no luck"):
        run_study(study, tmp_path / "runs", workers=3)
    assert "no luck" in (tmp_path / "runs" / ".taken" / "b-seed-1.failed").read_text()
    monkeypatch.delenv("STUB_FAILS")
    assert list(run_study(study, tmp_path / "runs")) == NAMES and len(lives(tmp_path / "runs")) == 7


def test_shards_divide_a_study_without_locks(study, tmp_path):
    folder = tmp_path / "runs"
    assert (
        [*run_study(study, folder, shard="2/2", workers=3)]
        == NAMES[1::2]
        == [name for name, _ in sorted(lives(folder), key=lambda one: NAMES.index(one[0]))]
    )
    assert [*run_study(study, folder, shard="1/2", workers=3)] == NAMES
    assert Counter(name for name, _ in lives(folder)) == dict.fromkeys(NAMES, 1)


def added(study: Study, tmp_path: Path, **more) -> Study:
    """The study's file with these additions."""
    content = {"base": str(tmp_path / "base.yaml"), "variants": {"a": {}, "b": {"epochs": 2}, "c": {"epochs": 4}}, **more}
    (tmp_path / "mine.yaml").write_text(study_text(content))
    return read_study(tmp_path / "mine.yaml")


def test_only_seeds_and_values_that_were_added_later_are_run(study, tmp_path):
    """Without seeds, then with two seeds, then with a list that includes the base file's value in another notation, then as at first."""
    folder, counts = tmp_path / "runs", []
    first = {"a": "a", "b": "b", "c": "c"}
    stages = (
        ({}, first),
        ({"seeds": [0, 1]}, {f"{v} seed {s}": v if s == 0 else f"{v}-seed-1" for v in "abc" for s in (0, 1)}),
        ({"vary": {"warmup": ["1e-1", 0.2]}}, {f"{v} warmup={w}": v if w == 0.1 else f"{v}-warmup-0.2" for v in "abc" for w in (0.1, 0.2)}),
        ({}, first),
    )
    for more, wanted in stages:
        made = added(study, tmp_path, **more)
        runs = run_study(made, folder, workers=3)
        counts.append(len(lives(folder)))
        assert {name: run.path.name for name, run in runs.items()} == wanted
        seen = {name: Path(config.run_dir).name for name, config in made.configs(folder).items()}
        assert seen == wanted, "a later process finds the same folders"
    assert counts == [3, 6, 9, 9] and read_places(folder) == {f"{v} {now}": v for now in ("seed 0", "warmup=0.1") for v in "abc"}


def test_a_run_with_other_parameters_or_a_name_still_in_use_is_not_renamed(study, tmp_path):
    folder = tmp_path / "runs"
    run_study(added(study, tmp_path, fixed={"learning_rate": 0.01}), folder, workers=3)
    assert earlier(added(study, tmp_path, seeds=[0]).configs(folder), folder) == {}
    now = added(study, tmp_path, fixed={"learning_rate": 0.01}, seeds=[0]).configs(folder)
    assert {name: Path(config.run_dir).name for name, config in earlier(now, folder).items()} == {f"{v} seed 0": v for v in "abc"}
    (folder / "a" / "scored").mkdir()
    write_json(folder / "a" / "scored" / "more.json", {"set": {"task": "squad", "data": "sample"}, "data": {}, "scores": {"n": 1}})
    assert set(earlier(now, folder)) == {f"{v} seed 0" for v in "abc"}, "also after it was scored on a further set"
    renamed = {"new": now["a seed 0"], "a": replace(now["b seed 0"], run_dir=str(folder / "a"))}
    assert earlier(renamed, folder) == {}, "a's folder belongs to a, whatever its content"
    (folder / "c" / "config.yaml").write_text("tasks: [none]\n")
    assert set(earlier(now, folder)) == {"a seed 0", "b seed 0"}, "an unreadable folder belongs to no run"


def test_invalid_folders_are_refused(study, tmp_path):
    (tmp_path / "runs").mkdir()
    for text in ("{", "[]", '{"a": "../b"}', '{"a": 3}'):
        (tmp_path / "runs" / "folders.json").write_text(text)
        with pytest.raises(RunError, match="folders.json: cannot be read .* delete it"):
            study.configs(tmp_path / "runs")
    (tmp_path / "runs" / "folders.json").write_text('{"a seed 0": "b-seed-0"}')
    with pytest.raises(ConfigError, match="runs a seed 0 and b seed 0 would share the folder"):
        study.configs(tmp_path / "runs")


@pytest.mark.parametrize("names", [[], ["x"], list("abcdefg")])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_shards_are_disjoint_and_complete(names, n):
    parts = [shard_of(names, f"{i}/{n}") for i in range(1, n + 1)]
    assert sorted(name for part in parts for name in part) == names and max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "1/0", "a/b", "1/2/3", "-1/4", 2])
def test_an_invalid_shard_is_refused(study, tmp_path, shard):
    with pytest.raises(ConfigError, match=r"shard: .* must be i/n, part i of n, counted from 1"):
        run_study(study, tmp_path / "runs", shard=shard)
    assert not (tmp_path / "runs").exists()


def test_a_part_makes_no_whole_seeds(study, tmp_path):
    with pytest.raises(ConfigError, match="^shard: a part has only some runs of a seed, and hours makes whole seeds; leave one out"):
        run_study(study, tmp_path / "runs", shard="1/2", hours=1)
    assert not (tmp_path / "runs").exists()


def test_a_command_that_ends_before_its_study_says_what_is_left(study, tmp_path, capsys):
    runs, words = tmp_path / "runs", ["study", str(tmp_path / "mine.yaml"), "--folder", str(tmp_path / "runs")]
    (runs / ".taken").mkdir(parents=True)
    with held(runs / ".taken" / "b-seed-1", "x"):
        main([*words, "--no-wait"])
    assert "\n5 of 6 runs are done; other processes have the rest, and the last one writes table and page\n" in capsys.readouterr().out
    main([*words[:-1], str(tmp_path / "parts"), "--shard", "1/2"])
    said = "3 of 6 runs are done. Once the other parts are done as well, the command without --shard writes table and page."
    assert capsys.readouterr().out.endswith(f"\n{said}\n")
    tuned = replace(study, tune={"learning_rate": [1e-4, 1e-3]}, tune_seeds=(7,))
    said = "This process has no tuning run left to make; the others are not all done. Start it again once they are."
    assert _not_all(tuned, tmp_path / "parts", 0, "1/2") == said
    (tmp_path / "parts" / TUNED).write_text("{}")
    assert _not_all(tuned, tmp_path / "parts", 0, "1/2").startswith("0 of 6 runs are done. Once the other parts")


def test_with_hours_only_whole_seeds_are_returned(study, todo, tmp_path):
    one = todo()
    mine = one.jobs()
    assert [next(mine).name for _ in range(4)] == NAMES[:4]
    for name in NAMES[:3]:
        finish(one, name)
        one.give_back(name, "")
    assert list(run_study(study, tmp_path / "runs", hours=1, wait=False)) == NAMES[:3], "the second seed lacks the run of another process"


def test_a_page_is_written_by_one_process_at_a_time(tmp_path):
    with held(tmp_path / ".page", "x"), pytest.raises(LockedError, match="the page is being written already"):
        page.write_page("mine.yaml", tmp_path)


def test_the_array_jobs_in_the_docs_are_valid():
    blocks = re.findall(r"^```bash\n(.*?)^```$", (ROOT / "docs/cluster.md").read_text(), re.DOTALL | re.MULTILINE)
    for block in blocks:
        subprocess.run(["bash", "-n"], input=block, text=True, check=True)
        command = re.search(r"^exec \.venv/bin/mtdnn (.*)$", block, re.MULTILINE)[1]
        given = parser().parse_args(shlex.split(command.replace("$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT", "3/8")))
        assert read_study(given.study) and (given.no_wait or shard_of(["a"] * 8, given.shard))
    assert len(blocks) == 2


def test_a_missing_ray_cluster_is_reported_in_a_line(monkeypatch):
    pytest.importorskip("ray")
    with closing(engines.ray([], address="auto")) as engine, pytest.raises(ConfigError, match="address: no Ray cluster is found at 'auto'"):
        next(engine)

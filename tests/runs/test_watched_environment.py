"""The environment of a run: as its manifest records it, how it differs, and the warning of a comparison of unlike runs."""

from types import SimpleNamespace

import pytest

from mtdnn_kit.runs import environment as env
from mtdnn_kit.runs.environment import changes, default_threads, environment, unlike

CPU = {
    "device": "cpu", "precision": "fp32", "processes": 1, "threads": 2, "machine": "Abacus, model 3, 8 cores",
    "packages": {"torch": "2.13.0", "transformers": "5.23.0", "numpy": "2.4.6"}, "kit": "0.2.0",
}  # fmt: skip
KNOWN = {
    "device": "cpu", "precision": "fp32", "processes": "1", "threads": "2", "processor": "Abacus, model 3", "torch": "2.13.0",
    "transformers": "5.23.0", "mtdnn-kit": "0.2.0",
}  # fmt: skip


def run(**manifest) -> SimpleNamespace:
    return SimpleNamespace(manifest={**CPU, **manifest})


def test_a_manifest_records_the_environment_as_far_as_results_depend_on_it():
    assert environment(CPU) == KNOWN
    assert environment({**CPU, "machine": "Abacus, model 3, 2 cores"}) == KNOWN, "the number of cores does not change the results"
    assert environment({}) == {} and environment({"packages": None, "machine": 3, "kit": ""}) == {}
    card = environment({**CPU, "device": "cuda", "machine": "Card 9"})
    assert card == {**{key: KNOWN[key] for key in KNOWN if key not in ("threads", "processor")}, "device": "cuda", "GPU": "Card 9"}


def test_an_unknown_value_is_not_a_difference():
    assert changes(KNOWN, KNOWN) == changes({}, KNOWN) == changes(KNOWN, {}) == []
    older = {key: KNOWN[key] for key in KNOWN if key != "mtdnn-kit"}
    assert changes(older, {**KNOWN, "mtdnn-kit": "9.0"}) == []
    assert changes(KNOWN, {**KNOWN, "torch": "2.14.0", "threads": "4"}) == ["threads 2, now 4", "torch 2.13.0, now 2.14.0"]


def test_a_comparison_of_unlike_runs_names_the_differences_and_the_runs():
    assert unlike({"QA": run(), "QA+SC": run(machine="Abacus, model 3, 64 cores", kit=None)}) == []
    assert unlike({"QA": run(), "theirs": SimpleNamespace(manifest={"imported": {"name": "theirs.json"}})}) == []
    other = run(threads=1, packages={"torch": "2.14.0"})
    assert unlike({"QA": run(), "QA+SC": other, "MCC": run()}) == [
        "These runs were made in different environments, which can cause a difference by itself: threads 2 (QA, MCC); 1 (QA+SC). "
        "torch 2.13.0 (QA, MCC); 2.14.0 (QA+SC)."
    ]


@pytest.mark.parametrize(
    ("said", "cores", "threads"), [(None, 2, 2), (None, 64, 4), ("3", 2, 3), ("8,2", 64, 8), ("0", 1, 1), ("all", 64, 4), ("", 3, 3)]
)
def test_the_default_threads_are_those_of_the_environment_or_one_per_core_up_to_four(monkeypatch, said, cores, threads):
    monkeypatch.setattr(env, "cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert default_threads() == threads

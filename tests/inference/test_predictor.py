"""A run's whole model by one call: its replies equal the run's predictions, for single items and lists; invalid calls are refused."""

import json
import pydoc
from dataclasses import replace

import numpy as np
import pytest
from ties import most, of_reply

from mtdnn_kit import Run, RunError, load
from mtdnn_kit.errors import ConfigError, DataError
from mtdnn_kit.inference import predictor
from mtdnn_kit.inference.predictor import Predictor
from mtdnn_kit.training.setup import read_rows

PASSAGE = "Cork is the bark of an oak. In Portugal farmers strip it every nine years, with axes; it is light, and floats."


@pytest.fixture(params=["bert", "deberta-v2", "modernbert"])
def run(request, trained) -> Run:
    return trained(request.param)


@pytest.fixture
def model(trained) -> Predictor:
    return load(trained("bert"))


def lines(run: Run, task: str) -> list[dict]:
    return [json.loads(line) for line in (run.path / "predictions" / f"{task}.jsonl").read_text().splitlines()]


def test_replies_to_a_datasets_rows_equal_the_runs_predictions(run):
    """Bit for bit: the same rows in the same batches, on the run's machine and with its number of threads."""
    model = load(str(run.path), device="cpu")
    (_, _, scored), _ = read_rows(model.config, training=False)
    rows = scored["squad"]
    said, wrote = model.answer([row.question for row in rows], [row.context for row in rows]), list(run.nbest())
    assert {row.id: x.text for row, x in zip(rows, said, strict=True)} == run.answers() and len(said) == 6
    for x, entry in zip(said, wrote, strict=True):
        assert [span[:2] for span in x.best] == [tuple(span[:2]) for span in entry["nbest"]]
        assert x.diff == entry["null"] - entry["nbest"][0][2] and x.nothing == pytest.approx(entry["nothing"], abs=1e-6)
        assert x.threshold == run.metrics["squad"]["threshold"]
    cola, mrpc, swag = (scored[task] for task in ("cola", "mrpc", "swag"))
    for task, found in (
        ("cola", model.classify([row.first for row in cola], task="cola")),
        ("mrpc", model.classify([row.first for row in mrpc], [row.second for row in mrpc], task="mrpc")),
    ):
        names = model.net.specs[task]["names"]
        assert [(names.index(x.label), list(x.probabilities.values())) for x in found] == [
            (line["label"], line["probabilities"]) for line in lines(run, task)
        ]
    found = model.choose([row.context for row in swag], [row.start for row in swag], [list(row.choices) for row in swag])
    assert [(x.index, x.probabilities) for x in found] == [(line["label"], line["probabilities"]) for line in lines(run, "swag")]
    assert all(x.choice == row.choices[x.index] and x.probability == max(x.probabilities) for x, row in zip(found, swag, strict=True))


def test_a_single_item_gets_the_same_reply_as_in_a_list(model):
    questions = ["What gives cork?", "Where do farmers strip cork?", "Why?"]
    many = model.answer(questions, PASSAGE, threshold=1e9)
    for question, x in zip(questions, many, strict=True):
        one = model.answer(question, PASSAGE, threshold=1e9)
        assert of_reply(one).like(of_reply(x)) and of_reply(x).says((one.start, one.end), 1e9)
        assert one.diff == pytest.approx(x.diff, abs=1e-5)
        assert one.text == PASSAGE[one.start : one.end] and one.probability == pytest.approx(one.best[0][2])
        assert sum(p for *_, p in one.best) + one.nothing == pytest.approx(1)
    many = model.classify(["A cat sat.", "Sat cat a the on."], task="cola")
    assert model.classify("A cat sat.", task="cola").probabilities == pytest.approx(many[0].probabilities, abs=1e-5)
    assert set(many[0].probabilities) == {"unacceptable", "acceptable"} and many[0].probability == many[0].probabilities[many[0].label]
    pair = model.classify("A cat sat.", "The cat sat down.", task="mrpc")
    assert [pair] == model.classify(["A cat sat."], ["The cat sat down."], task="mrpc"), "the same batch"


def test_above_the_threshold_there_is_no_answer_and_the_default_is_the_runs_threshold(model):
    """The same computation repeated in one process: equal bit for bit."""
    diff = model.answer("What gives cork?", PASSAGE).diff
    nothing, said = (model.answer("What gives cork?", PASSAGE, threshold=x) for x in (diff - 1e-6, diff + 1e-6))
    assert (nothing.text, nothing.start, nothing.end, nothing.probability) == ("", None, None, nothing.nothing) and said.text
    own = Predictor("it", model.net, model.tokenizer, model.config, model.precision, {"squad": diff - 1e-6})
    assert own.answer("What gives cork?", PASSAGE)._replace(diff=0) == nothing._replace(diff=0)


def test_items_may_differ_in_their_number_of_choices_or_share_one_list(model):
    sets = [["fries them.", "flies away."], ["a.", "b.", "c."], ["goes home.", "sings."]]
    found = model.choose(["The cook cuts onions."] * 3, "She", sets)
    assert [len(x.probabilities) for x in found] == [2, 3, 2]
    for some, x in zip(sets, found, strict=True):
        one = model.choose("The cook cuts onions.", "She", some)
        assert one.probabilities == pytest.approx(x.probabilities, abs=1e-5)
        assert one.index in most(x.probabilities) and one.choice == some[one.index] and x.choice == some[x.index]
    alike = model.choose(["The cook cuts onions.", "It rains."], ["She", ""], sets[0])
    assert [x.choice in sets[0] for x in alike] == [True, True]
    assert len(model.choose("The cook cuts onions.", "She", [sets[0]])) == 1


def test_a_text_of_many_windows_is_read_to_its_end(model):
    """With max_answer 1, every token is among the candidate answers."""
    text = " ".join(f"Sentence {i} is about place {i}." for i in range(100))
    every = replace(model.config, n_best=10_000, max_answer=1)
    found = {span[:2] for span in replace(model, config=every).answer("Where is 7?", text, threshold=1e9).best}
    starts, ends = zip(*[(a, b) for a, b in model.tokenizer(text, return_offsets_mapping=True)["offset_mapping"] if a < b], strict=True)
    assert found == set(zip(starts, ends, strict=True)) and max(ends) == len(text) > 2000


WRONG = {
    "question is 5: it must be text or a list of texts": lambda m: m.answer(5, "x"),
    "context is None: it must be text or a list": lambda m: m.answer("x", None),
    "context: item 1 is 5: it must be text": lambda m: m.answer(["a", "b"], ["x", 5]),
    "question is an empty list; give at least one text": lambda m: m.answer([], []),
    "there are 2 of question and 3 of context: give the same number of each, or one text for all": lambda m: m.answer(["a"] * 2, ["x"] * 3),
    "question: item 0 has an unpaired surrogate at character 1": lambda m: m.answer("a\ud83d", "x"),
    "second: cola is a task of single texts; leave it out": lambda m: m.classify("a", "b", task="cola"),
    "second: mrpc is a task of pairs; give the second text as well": lambda m: m.classify("a", task="mrpc"),
    "choices is 'ab': it must be text or a list of texts": lambda m: m.choose("a", "b", "ab"),
    "choices has only one choice": lambda m: m.choose("a", "b", ["c"]),
    "choices: item 1 is an empty list": lambda m: m.choose("a", "b", [["c", "d"], []]),
    "choices: item 1: item 0 is 3: it must be text": lambda m: m.choose("a", "b", [["c", "d"], [3, "e"]]),
    "there are 3 of context and 2 of choices": lambda m: m.choose(["a"] * 3, "b", [["c", "d"]] * 2),
}


@pytest.mark.parametrize("message", WRONG)
def test_invalid_arguments_are_named(model, message):
    with pytest.raises(DataError) as told:
        WRONG[message](model)
    assert str(told.value).startswith(message)


def test_a_missing_or_ambiguous_task_is_reported(model, trained, config):
    with pytest.raises(RunError, match="several tasks for sequence classification; name one of cola, mrpc"):
        model.classify("a")
    with pytest.raises(RunError, match=r"no task 'swag' for question answering; there are squad \(qa\), swag \(mcc\)"):
        model.answer("a", "b", task="swag")
    alone = Predictor("it", model.net, model.tokenizer, model.config, model.precision, {})
    object.__setattr__(alone, "net", type("Net", (), {"specs": {"squad": {"type": "qa"}}})())
    with pytest.raises(RunError, match=r"it has no task for multiple choice; there are squad \(qa\)"):
        alone.choose("a", "b", ["c", "d"])


def test_a_failure_to_load_states_a_remedy(trained, tmp_path):
    with pytest.raises(RunError, match="there is no such folder; correct the path"):
        load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="device: 'tpu' must be one of auto, cpu, cuda"):
        load(trained("bert"), device="tpu")
    trained("bert").keep(tmp_path / "kept")
    with pytest.raises(RunError, match="kept has no model/"):
        load(tmp_path / "kept")


def test_help_and_repr_list_methods_and_tasks(model, trained):
    assert repr(model) == f"Predictor({trained('bert').name}: squad (qa), swag (mcc), cola (sc), mrpc (sc))"
    told = pydoc.plain(pydoc.render_doc(Predictor))
    assert all(f" {name}(" in told for name in ("answer", "choose", "classify")) and "returns a list" in told


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_batch_size_limits_the_windows_and_does_not_change_the_replies(trained, monkeypatch, size):
    model, plain, seen = load(trained("bert"), batch_size=size), load(trained("bert")), []
    texts = ["Cork is the bark of an oak. " * (1 + i % 5) for i in range(9)]
    forward = type(model.net).forward
    monkeypatch.setattr(
        type(model.net), "forward", lambda net, task, inputs: seen.append(len(inputs["input_ids"])) or forward(net, task, inputs)
    )
    said, batches = model.answer("What gives cork?", texts), seen.copy()
    same = plain.answer("What gives cork?", texts)
    assert batches == {1: [1] * 9, 3: [3] * 3, 1000: [9]}[size] and seen[len(batches) :] == [9]
    assert [one.text for one in said] == [one.text for one in same]
    assert np.allclose([one.diff for one in said], [one.diff for one in same], atol=1e-3)


@pytest.mark.parametrize("size", [0, -1, 2.5, "8"])
def test_an_invalid_batch_size_is_refused(trained, size):
    with pytest.raises(ConfigError, match=r"^batch_size: .* must be a whole number above 0, or None"):
        load(trained("bert"), batch_size=size)


def test_progress_is_shown_for_a_long_list(trained, monkeypatch, capsys):
    model = load(trained("bert"), batch_size=5)
    model.classify(["One."] * 9, task="cola")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(predictor, "LONG", 10)
    model.classify(["One."] * 20, task="cola")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and lines[0].startswith("reading: window 5 of 20, ") and lines[-1] == "reading: window 20 of 20"

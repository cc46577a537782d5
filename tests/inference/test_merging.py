"""Merged runs: formulas against a second implementation; the result is a normal run folder."""

import json
from dataclasses import asdict
from pathlib import Path

import peft.utils.merge_utils as second
import pytest
import torch
import transformers
from conftest import DIMENSIONS, THREADS, cased, make_encoder
from safetensors.torch import load_file

import mtdnn_kit.__main__ as command_line
from mtdnn_kit import Config, Run, compare, explore, export, load, merge, train
from mtdnn_kit.errors import ConfigError, DataError, RunError
from mtdnn_kit.files.atomic import write_json
from mtdnn_kit.inference import merging
from mtdnn_kit.inference.heldout import held_out
from mtdnn_kit.inference.rerunning import rerun
from mtdnn_kit.inference.task_vectors import average, task_arithmetic, ties
from mtdnn_kit.model.provenance import notes
from mtdnn_kit.runs.notes import merge_note
from mtdnn_kit.runs.pruning import prune

HELD = ["Sugar", "Flamingo"]


@pytest.fixture(scope="module")
def three(tiny, tmp_path_factory) -> list[Run]:
    """Runs on question answering, on it with another task, and on only that task; a few steps each from the tiny encoder."""
    folder, made = tmp_path_factory.mktemp("three"), []
    small = dict(encoder=tiny, max_steps=6, batch_size=4, max_length=96, overlap=10, precision="fp32", device="cpu", eval_limit=20)
    for seed, (name, tasks, held) in enumerate([("one", ["squad"], HELD), ("two", ["squad", "cola"], HELD), ("three", ["cola"], [])]):
        weight = 0.5 if len(tasks) > 1 else 1.0
        config = dict(tasks=tasks, qa_weight=weight, threshold_articles=held, seed=seed, run_dir=str(folder / name), learning_rate=0.02)
        made.append(train(Config(**small, **config, threads=THREADS)))
    return made


def tensors(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "model" / "model.safetensors")


def flat(count: int, seed: int = 0) -> list[torch.Tensor]:
    return list(torch.randn(count, 1000, generator=torch.Generator().manual_seed(seed)))


def test_the_formulas_equal_pefts():
    base, *vectors = flat(4)
    changes = [one - base for one in vectors]
    torch.testing.assert_close(
        task_arithmetic(base, vectors, 0.3), base + second.task_arithmetic(changes, torch.tensor([0.3] * 3)), rtol=0, atol=1e-6
    )
    for density in (0.2, 0.5, 0.999):
        for weight in (1.0, 0.7):
            theirs = base + second.ties(changes, torch.tensor([weight] * 3), density)
            torch.testing.assert_close(ties(base, vectors, weight, density), theirs, rtol=0, atol=1e-6)


def test_an_average_is_the_mean_and_weights_0_and_1_give_the_parts():
    one, two, three = flat(3)
    torch.testing.assert_close(average([one, two, three], 2 / 3), (one + two + three) / 3)
    assert torch.equal(average([one, two], 0.0), one) and torch.allclose(average([one, two], 1.0), two, atol=1e-6)
    zeros = torch.tensor([0.0, -0.0, 1e-30])
    made = average([zeros, zeros.clone(), zeros.clone()], 2 / 3)
    assert made.numpy().tobytes() == zeros.numpy().tobytes()


def test_opposite_changes_are_elected_and_small_ones_are_trimmed():
    base = torch.zeros(4)
    vectors = [torch.tensor([4.0, -3.0, 0.1, 2.0]), torch.tensor([-1.0, -5.0, 0.2, 2.0])]
    assert ties(base, vectors, 1.0, 0.5).tolist() == [4.0, -4.0, 0.0, 2.0]
    assert ties(base, vectors, 0.5, 1.0).tolist() == pytest.approx([2.0, -2.0, 0.075, 1.0])


def test_the_average_of_two_equal_runs_equals_them_bit_for_bit(three, tmp_path):
    made = merge([three[0], three[0].path], run_dir=tmp_path / "same")
    before, after = tensors(three[0]), tensors(made)
    assert {name: x.numpy().tobytes() for name, x in before.items()} == {name: x.numpy().tobytes() for name, x in after.items()}
    assert made.metrics == three[0].metrics and made.answers() == three[0].answers()


@pytest.mark.parametrize("method", ["average", "task_arithmetic", "ties"])
def test_encoders_are_merged_and_heads_come_from_the_first_run(method, three, tmp_path, tiny):
    made = merge(three, method, tmp_path / method, weight=None if method == "average" else 0.5)
    parts, found = [tensors(run) for run in three], tensors(made)
    begun = {f"encoder.{name}": x for name, x in load_file(Path(tiny) / "model.safetensors").items()}
    assert found.keys() == parts[0].keys()
    names = [f"encoder.{name}" for name, _ in load(made).net.encoder.named_parameters()]  # of equal changes, ties keeps the first
    assert all(torch.equal(found[name], parts[0][name]) for name in found.keys() - set(names))
    for name in names if method != "ties" else []:
        total = sum(part[name] - begun[name] for part in parts)
        expected = begun[name] + (total / 3 if method == "average" else 0.5 * total)
        torch.testing.assert_close(found[name], expected, rtol=1e-5, atol=1e-6)
    if method == "ties":
        changes = [torch.cat([(part[name] - begun[name]).flatten() for name in names]) for part in parts]
        theirs = torch.cat([begun[name].flatten() for name in names]) + second.ties(changes, torch.tensor([0.5] * 3), 0.2)
        torch.testing.assert_close(torch.cat([found[name].flatten() for name in names]), theirs, rtol=1e-5, atol=1e-6)
    assert made.finished and made.log() == [] and made.manifest["steps"] == 0
    assert made.manifest["merged"]["method"] == method and len(made.manifest["merged"]["runs"]) == 3
    assert {key: x for key, x in made.config.items() if key not in ("run_dir", "init_from")} == {
        key: x for key, x in three[0].config.items() if key not in ("run_dir", "init_from")
    }


def test_a_merge_replaces_no_run(three):
    before = (three[2].path / "manifest.json").read_bytes()
    with pytest.raises(ConfigError, match="^run_dir: .* holds a run; name another folder, or delete it$"):
        merge(three[:2], run_dir=three[2].path)
    assert (three[2].path / "manifest.json").read_bytes() == before


def test_a_merged_run_can_be_used_like_any_other(three, tmp_path):
    made = merge(three[:2], run_dir=tmp_path / "made", weight=0.25)
    assert len(compare.pair({"one": three[0], "made": made})) == made.metrics["squad"]["n"] == 20
    assert "threshold" in made.metrics["squad"] and made.manifest["held_out"]["squad"]["questions"] > 9
    assert load(made).answer("Where does the Rhine rise?", "The Rhine rises in the Alps.") is not None
    assert export(made, "squad", tmp_path / "exported").is_dir()
    assert Path(explore([three[0], made], live=False).save(tmp_path / "page.html")).is_file()
    assert "merged of" in merge_note(made) and merge_note(made) in notes([three[0], made]) and merge_note(three[0]) is None
    with pytest.raises(RunError, match="it was merged, not trained"):
        rerun(made, tmp_path / "again")
    assert "freed model" in prune(made)
    twice = merge([three[0], three[1]], "average", tmp_path / "twice", weight=0.25)
    assert twice.metrics == made.metrics


def test_the_best_of_several_weights_on_held_out_questions_is_used_and_reported(three, tmp_path):
    weights = [0.0, 0.5, 1.0]
    alone = {w: merge(three[:2], run_dir=tmp_path / f"at-{w}", weight=w) for w in weights}
    made = merge(three[:2], run_dir=tmp_path / "chosen", weight=weights)
    record = made.manifest["merged"]
    scores = {w: held_out(run)[0].scores()["span_f1"] for w, run in alone.items()}
    assert {one["weight"]: one["score"] for one in record["tried"]} == pytest.approx(scores)
    assert record["weight"] == max(scores, key=scores.get) and record["by"] == "span F1 of squad on its held-out questions"
    assert made.metrics == alone[record["weight"]].metrics
    assert f"weight {record['weight']:g}, chosen by span F1 of squad on its held-out questions (0: " in merge_note(made)


def test_a_base_may_be_another_run(three, tmp_path):
    made = merge(three[:2], "task_arithmetic", tmp_path / "made", base=three[0].path, weight=1.0)
    found, two = tensors(made), tensors(three[1])
    assert all(torch.allclose(x, two[name], atol=1e-6) for name, x in found.items() if name.startswith("encoder."))
    assert made.manifest["merged"]["base"]["name"] == "one"


def test_runs_that_cannot_be_merged_are_refused_with_their_names(three, tmp_path, families, small_tokenizer):
    def other(name: str, encoder: str, **changes) -> Run:
        settings = {**asdict(three[0].parameters), "encoder": encoder, "run_dir": str(tmp_path / name), "max_steps": 1, **changes}
        return train(Config(**settings))

    electra = other("electra", families["electra"])
    with pytest.raises(RunError, match="encoder: one and electra have .*: only runs that started from the same encoder"):
        merge([three[0], electra])
    words = cased()
    foreign = make_encoder(tmp_path / "cased", transformers.BertConfig(vocab_size=len(small_tokenizer), **DIMENSIONS), words)
    run = other("foreign", foreign)
    text = (run.path / "config.yaml").read_text().replace(foreign, three[0].config["encoder"])
    (run.path / "config.yaml").write_text(text)
    with pytest.raises(RunError, match="tokenizer: those of one and foreign differ"):
        merge([three[0], run])
    unheld = other("unheld", three[0].config["encoder"], threshold_articles=["Cork"])
    with pytest.raises(ConfigError, match="threshold_articles: .*unheld, whose weights would be used, trained on the same file"):
        merge([three[0], unheld])
    staged = other("staged", three[0].config["encoder"], tasks=["cola"], threshold_articles=[], init_from=str(unheld.path))
    for parts in ([three[0], staged], [three[0], merge([three[2], unheld], run_dir=tmp_path / "hidden")]):
        with pytest.raises(ConfigError, match="threshold_articles: .*unheld, whose weights would be used"):
            merge(parts, run_dir=tmp_path / "no")
    for wrong, said in [
        (dict(method="mean"), "method: 'mean' is unknown; choose from average"),
        (dict(weight=1.5), "weight: 1.5 must be a number from 0 to 1"),
        (dict(weight=[]), "weight"),
        (dict(weight=[0.5, 0.5]), "has a number twice"),
        (dict(base="x"), "base: average does not use it"),
        (dict(method="ties", density=0.0), "density: 0.0 must be a share"),
        (dict(density=0.3), "density: average does not use it"),
    ]:
        with pytest.raises(ConfigError, match=said):
            merge(three[:2], **{"run_dir": tmp_path / "no", **wrong})
    with pytest.raises(ConfigError, match="name at least two runs"):
        merge(three[:1])
    with pytest.raises(RunError, match="weights of other shapes than one"):
        merge(three[:2], "ties", base=families["distilbert"])
    with pytest.raises(ConfigError, match="three held out no question to choose among"):
        merge([three[2], three[0]], weight=[0.1, 0.2])
    assert not (tmp_path / "no").exists()


def test_changed_rows_are_refused(three, tmp_path):
    manifest = json.loads((three[1].path / "manifest.json").read_text())
    kept = json.dumps(manifest)
    manifest["data"]["squad/train"]["fingerprint"] = "other"
    write_json(three[1].path / "manifest.json", manifest)
    with pytest.raises(DataError, match=r"squad/train: the rows in sample differ from those of two"):
        merge(three[:2], run_dir=tmp_path / "no")
    (three[1].path / "manifest.json").write_text(kept)


def test_a_merge_that_was_killed_leaves_no_finished_run(three, tmp_path, monkeypatch):
    def fails(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(merging, "evaluate", fails)
        merge(three[:2], run_dir=tmp_path / "made")
    assert not Run(tmp_path / "made").finished
    assert merge(three[:2], run_dir=tmp_path / "made").finished
    with pytest.raises(ConfigError, match="holds a run; name another folder"):
        merge(three[:2], run_dir=tmp_path / "made")


def test_the_command_merges_and_prints_the_chosen_weight(three, tmp_path, capsys):
    words = ["merge", *(str(run.path) for run in three[:2]), "--method", "ties", "--weight", "0.5", "--weight", "1"]
    command_line.main([*words, "--density", "0.5", "--run-dir", str(tmp_path / "made")])
    made = Run(tmp_path / "made")
    assert capsys.readouterr().out.splitlines()[1] == merge_note(made) and "(ties, density 0.5), weight " in merge_note(made)
    assert made.manifest["merged"]["tried"][1]["weight"] == 1.0

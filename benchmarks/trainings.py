"""Trainings whose losses and scores are compared; nothing here is timed. For `pooling` and `precision`.

Each result is saved to a file (a line of JSON) as soon as the training ends, under its parameters, versions and the hash of the kit's
code: an interrupted benchmark resumes, and trainings that both need are made once. `--at-most` ends early, for a shared machine.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np

from mtdnn_kit import Config, prepare, sampler, train
from mtdnn_kit.config import DEFAULT_ENCODER
from mtdnn_kit.runs.code_hash import code_hash

KEPT = Path(__file__).parents[1] / "build" / "trainings.jsonl"
SCORES = {"loss": "loss of the last third", "span_f1": "span F1", "f1": "F1"}


def arguments(doc: str) -> argparse.Namespace:
    """The command line of both benchmarks."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"))
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    for name, value in dict(seeds=3, rows=2400, eval=800).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--first", type=int, default=0, help="first seed; the others follow it")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=3e-4, help="peak learning rate")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="auto", help="precision of both sides of pooling")
    parser.add_argument("--kept", type=Path, default=KEPT, help="file of the results")
    parser.add_argument("--at-most", type=int, help="end after this many new trainings")
    parser.add_argument("--quick", action="store_true", help="two seeds, 60 rows, one epoch")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.rows, given.eval, given.epochs = 2, 60, 30, 1.0
    return given


def training(given: argparse.Namespace, seed: int, precision: str = "auto", pool: int = sampler.POOL) -> dict:
    """Loss of the last third (mean), span F1 and F1 of the scored rows, and the batches' padding (a share) of one training.

    pool: batches that are sorted by length together. Raises SystemExit if `at_most` new trainings were already made.
    """
    data = dict(data=given.data, encoder=given.encoder, train_limit=given.rows, eval_limit=given.eval, tasks=["squad"], qa_weight=1.0)
    steps = dict(max_length=384, overlap=128, batch_size=16, epochs=given.epochs, learning_rate=given.rate, log_every=1000)
    same = {**data, **steps, "precision": precision, "device": given.device, "seed": seed}
    places = {key: str(Path(same[key]).resolve()) if Path(same[key]).is_dir() else same[key] for key in ("data", "encoder")}
    versions = [version("torch"), version("transformers")]
    name = json.dumps({**same, **places, "pool": pool, "versions": versions, "code": code_hash()})
    kept = [json.loads(line) for line in given.kept.read_text().splitlines()] if given.kept.exists() else []
    found = next((record for record in kept if record["name"] == name), None)
    if found is None:
        if given.at_most is not None and given.at_most <= 0:
            raise SystemExit("as many new trainings as were asked for: call again to go on")
        given.at_most = None if given.at_most is None else given.at_most - 1
        found = {"name": name, **_trained(same, pool)}
        given.kept.parent.mkdir(parents=True, exist_ok=True)
        with open(given.kept, "a") as file:
            file.write(json.dumps(found) + "\n")
    return found


def _trained(parameters: dict, pool: int) -> dict:
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(sampler, "POOL", pool):
        config = Config(run_dir=f"{folder}/run", **parameters)
        setup = prepare(config)
        run = train(config, setup, watch=lambda records: None)
        losses, score, lengths = [record["loss"] for record in run.log()], run.metrics["squad"], setup.train["squad"].lengths
        padded = sum(len(items) * lengths[items].max() for items in setup._batches("squad", 0))
        padding = 1 - float(lengths.sum() / padded)
        last = float(np.mean(losses[-(len(losses) // 3) :]))
        return {"steps": len(losses), "loss": last, "span_f1": score["span_f1"], "f1": score["f1"], "padding": padding}


def compare(names: tuple[str, str], one: list[dict], other: list[dict]) -> Iterator[str]:
    """A line per score: means, the differences one − other seed by seed, their mean and its standard error."""
    for key, label in SCORES.items():
        a, b = (np.array([record[key] for record in side]) for side in (one, other))
        gaps, error = a - b, (a - b).std(ddof=1) / len(a) ** 0.5 if len(a) > 1 else float("nan")
        each = ", ".join(f"{gap:+.3f}" if key == "loss" else f"{gap:+.1f}" for gap in gaps)
        yield f"{label}: {names[0]} {a.mean():.3f}, {names[1]} {b.mean():.3f}; differences {each}; mean {gaps.mean():+.3f} ± {error:.3f}"

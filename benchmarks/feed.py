"""What surrounds the training: rows → windows, the second start, the first step, evaluation, and the schedule.

    .venv/bin/python benchmarks/feed.py [prepare] [again] [step] [evaluate] [schedule] [--questions 130000] [--repeats 3]

The peer of `prepare` is transformers' question-answering example: `datasets.map` in two processes over question and passage together,
windows by the tokenizer's stride, labels by the offsets. It is rewritten here with the same loops and its fast options (fast tokenizer,
no padding). The kit also reads and checks the rows; the peer is timed without reading. The two alternate; the result is the median of the
repeats' ratios. MTDNN_DATA names the folder of real rows.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import repeated
from machine import alternately, heading, ratio

OURS = """
import sys, time
from mtdnn_kit import Config, prepare
began = time.perf_counter()
setup = prepare(Config(data=sys.argv[1], tasks=["squad"], qa_weight=1.0, max_length=384, overlap=128, eval_limit=64))
print(time.perf_counter() - began, len(setup.train["squad"].lengths))
"""
STEP = """
import os, sys, time
from mtdnn_kit import Config, train

def first(records):
    print(time.time() - float(sys.argv[3]), flush=True)
    os._exit(0)

data = dict(data=sys.argv[1], tasks=["squad"], qa_weight=1.0, max_length=384, overlap=128)
train(Config(run_dir=sys.argv[2], batch_size=16, log_every=1, **data), watch=first)
"""
EVALUATE = """
import sys, time
from pathlib import Path
import torch
from mtdnn_kit import Config, prepare
from mtdnn_kit.model.devices import resolve_device, resolve_precision
from mtdnn_kit.model.evaluation import evaluate
from mtdnn_kit.model.multitask import build_model

config = Config(data=sys.argv[1], tasks=["squad"], qa_weight=1.0, max_length=384, overlap=128, train_limit=64)
setup, spent = prepare(config), []
model = build_model(setup.encoder.path, setup.specs, 0.1, 0.3, config.max_length, seed=0)
model.register_forward_pre_hook(lambda *_: spent.append(-time.perf_counter()))
model.register_forward_hook(lambda *_: spent.append(time.perf_counter()))
began = time.perf_counter()
evaluate(model, setup.scored, {}, config, resolve_precision("auto", resolve_device("cpu")), Path(sys.argv[2]))
print(time.perf_counter() - began, sum(spent))
"""
SCHEDULE = """
import time
from mtdnn_kit.config import Config
from mtdnn_kit.training.setup import schedule_of
config = Config(tasks=["squad", "swag", "cola", "mrpc", "mnli"], batch_size=16, epochs=3.0)
sizes = {"squad": 8800, "swag": 4597, "cola": 535, "mrpc": 230, "mnli": 24544}
began = time.perf_counter()
schedule, _ = schedule_of(config, sizes)
print(time.perf_counter() - began, len(schedule))
"""


def child(code: str, *arguments: str, cache: Path) -> list[float]:
    """The numbers that `code`, run in a separate process, prints last."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], env={**os.environ, "MTDNN_CACHE": str(cache)}, stdout=subprocess.PIPE)
    return [float(figure) for figure in done.stdout.split()[-2:]]


def peer_features(examples: dict, tokenizer) -> dict:
    """Windows of 384 tokens that overlap by 128, with start and end labels; 0 and 0 unless the window has the whole answer."""
    coded = tokenizer(
        [question.lstrip() for question in examples["question"]],
        examples["context"],
        truncation="only_second",
        max_length=384,
        stride=128,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    owners, offsets = coded.pop("overflow_to_sample_mapping"), coded.pop("offset_mapping")
    coded["start_positions"], coded["end_positions"] = [], []
    for window, characters in enumerate(offsets):
        ids, parts, answers = coded["input_ids"][window], coded.sequence_ids(window), examples["answers"][owners[window]]
        first = last = ids.index(tokenizer.cls_token_id)
        if answers["answer_start"]:
            begin = answers["answer_start"][0]
            end = begin + len(answers["text"][0])
            low, high = 0, len(ids) - 1
            while parts[low] != 1:
                low += 1
            while parts[high] != 1:
                high -= 1
            if characters[low][0] <= begin and characters[high][1] >= end:
                while low < len(characters) and characters[low][0] <= begin:
                    low += 1
                while characters[high][1] >= end:
                    high -= 1
                first, last = low - 1, high + 1
        coded["start_positions"].append(first)
        coded["end_positions"].append(last)
    return coded


def peer(data: Path) -> list[float]:
    """Seconds of the peer's `map`, and its windows."""
    import datasets
    from transformers import AutoTokenizer

    from mtdnn_kit.config import DEFAULT_ENCODER
    from mtdnn_kit.model.encoders import find_encoder

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(find_encoder(DEFAULT_ENCODER).path)
    with tempfile.TemporaryDirectory() as cache:
        rows = datasets.load_dataset("json", data_files=str(data / "squad" / "train.jsonl"), split="train", cache_dir=cache)
        began = time.perf_counter()
        made = rows.map(peer_features, batched=True, num_proc=2, remove_columns=rows.column_names, fn_kwargs={"tokenizer": tokenizer})
        return [time.perf_counter() - began, len(made)]


def compare(data: Path, repeats: int, cache: Path) -> None:
    """Times the kit and the peer alternately."""

    def ours() -> list[float]:
        shutil.rmtree(cache, ignore_errors=True)
        return child(OURS, str(data), cache=cache)

    times = alternately([ours, lambda: peer(data)], repeats)
    (mine, windows), (theirs, others) = ([statistics.median(column) for column in zip(*side, strict=True)] for side in times)
    print(f"prepare: {mine:.1f} s for {windows:,.0f} windows, checks and reading included; datasets.map: {theirs:.1f} s for {others:,.0f}")
    seconds = [[first for first, _ in side] for side in times]
    print(f"prepare: ratio {ratio(*reversed(seconds)):.1f} (median of {repeats})", flush=True)


def main() -> None:
    """Prints a line or two per part."""
    parts = ("prepare", "again", "step", "evaluate", "schedule")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=parts, metavar="PART", help=", ".join(parts))
    parser.add_argument("--questions", type=int, default=130_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    source = os.environ["MTDNN_DATA"]
    print(f"{given.questions:,} questions; {heading()}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data, cache, out = (Path(folder, name) for name in ("data", "cache", "out"))
        repeated.write(given.questions, source, data)
        if "prepare" in given.parts:
            compare(data, given.repeats, cache)
        if {"again", "step"} & set(given.parts):
            child(OURS, str(data), cache=cache)
        if "again" in given.parts:
            began = time.perf_counter()
            seconds, _ = child(OURS, str(data), cache=cache)
            print(f"again: prepared in {seconds:.2f} s; the whole process {time.perf_counter() - began:.2f} s", flush=True)
        if "step" in given.parts:
            child(STEP, str(data), str(out / "warm"), str(time.time()), cache=cache)
            seconds = [child(STEP, str(data), str(out / str(i)), str(time.time()), cache=cache)[-1] for i in range(given.repeats)]
            print(
                f"step: {statistics.median(seconds):.2f} s from the start of Python to the first step (median of {given.repeats})",
                flush=True,
            )
        if "evaluate" in given.parts:
            out.mkdir(exist_ok=True)
            child(EVALUATE, source, str(out / "first"), cache=cache)
            total, forward = child(EVALUATE, source, str(out / "second"), cache=cache)
            share = f"forward pass {forward:.1f} s ({forward / total:.1%}), the rest {total - forward:.2f} s"
            print(f"evaluate: 6,078 questions in {total:.1f} s; {share}", flush=True)
        if "schedule" in given.parts:
            seconds, steps = child(SCHEDULE, cache=cache)
            print(f"schedule: {steps:,.0f} steps drawn in {seconds:.3f} s", flush=True)


if __name__ == "__main__":
    main()

"""How memory and time grow with the number of questions: for preparing them, and for evaluating them.

    .venv/bin/python benchmarks/growth.py [10000 50000 250000]

Each number runs in a separate process, on real rows repeated under new ids (`repeated`). Memory is the peak of anonymous pages, which are
not backed by files (`Anonymous` of /proc/self/smaps_rollup, sampled every 20 ms). The encoder is a BERT of one layer and 32 dimensions
with random weights: the question is what grows besides the forward pass. MTDNN_DATA names the folder of real rows.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import repeated
from machine import heading

CHILD = """
import json, re, sys, threading, time
from pathlib import Path
from mtdnn_kit import Config, prepare
from mtdnn_kit.model import evaluation
from mtdnn_kit.model.multitask import build_model

peak, done = [0], threading.Event()

def look():
    while not done.wait(0.02):
        peak[0] = max(peak[0], int(re.search(r"Anonymous: +(\\d+)", Path("/proc/self/smaps_rollup").read_text())[1]))

def stage(name, work):
    peak[0], began = 0, time.perf_counter()
    made = work()
    print(json.dumps({"stage": name, "seconds": time.perf_counter() - began, "kB": peak[0]}), flush=True)
    return made

data, encoder, out = sys.argv[1:]
threading.Thread(target=look, daemon=True).start()
config = Config(data=data, encoder=encoder, tasks=["squad"], qa_weight=1.0, max_length=384, overlap=128)
setup = stage("prepare", lambda: prepare(config))
model = build_model(setup.encoder.path, setup.specs, 0.0, 0.0, config.max_length, seed=0)
stage("evaluate", lambda: evaluation.evaluate(model, {"squad": setup.train["squad"]}, {}, config, "fp32", Path(out)))
done.set()
"""


def small_encoder(folder: Path) -> None:
    """A BERT of one layer and 32 dimensions, with the default encoder's tokenizer."""
    import transformers

    from mtdnn_kit.config import DEFAULT_ENCODER
    from mtdnn_kit.model.encoders import find_encoder

    tokenizer = transformers.AutoTokenizer.from_pretrained(find_encoder(DEFAULT_ENCODER).path)
    sizes = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    transformers.AutoModel.from_config(transformers.BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def measure(count: int, folder: Path) -> dict[str, dict]:
    """{stage: {"seconds", "kB"}} for this many questions."""
    data, environment = folder / str(count), {**os.environ, "MTDNN_CACHE": str(folder / "cache")}
    repeated.write(count, os.environ["MTDNN_DATA"], data)
    arguments = [str(data), str(folder / "encoder"), str(folder / f"out{count}")]
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], env=environment, stdout=subprocess.PIPE, check=True)
    return {line["stage"]: line for line in map(json.loads, done.stdout.splitlines())}


def main(counts: list[int]) -> None:
    """Prints a line per number of questions and stage; from the second number on, the cost of one more question."""
    with tempfile.TemporaryDirectory() as folder:
        small_encoder(Path(folder, "encoder"))
        before: dict[str, dict] = {}
        print(heading(), flush=True)
        for count in counts:
            for stage, found in measure(count, Path(folder)).items():
                line = f"{stage}: {count:,} questions, {found['seconds']:.1f} s, at most {found['kB'] / 1024:.0f} MiB"
                if stage in before:
                    n, last = count - before[stage]["count"], before[stage]
                    more, time = 1024 * (found["kB"] - last["kB"]) / n, 1000 * (found["seconds"] - last["seconds"]) / n
                    line += f"; a further question: {more:.0f} bytes, {time:.3f} ms"
                print(line, flush=True)
                before[stage] = {**found, "count": count}


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [10_000, 50_000, 250_000])

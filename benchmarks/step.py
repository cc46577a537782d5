"""Where the time of a training step goes: torch's profiler over steps of real lengths, by kind of work; a table and benchmarks/step.png.

    .venv/bin/python benchmarks/step.py [--data FOLDER] [--steps 20] [--precision auto] [--quick]

The kit's own training (MiniLM, batch 16, dropout 0.1, Adamax), one task: once to warm up, then without the profiler, which gives the
tokens/s, then with it, which gives the shares. The limit is the tokens/s that the matrix products of the layers would allow at the speed
that they reach in isolation on this machine (`products`).
"""

import argparse
import os
import tempfile
from pathlib import Path

import torch
from machine import heading
from products import alone, weights
from torch.profiler import profile
from transformers import AutoConfig

from mtdnn_kit import Config, prepare, train
from mtdnn_kit.config import DEFAULT_ENCODER
from mtdnn_kit.model.encoders import find_encoder

OTHER = "Python, autograd, data, other"
KINDS = {  # operators of torch → kind of work; the first match counts
    "matrix products": ("aten::mm", "aten::addmm"),
    "attention: products": ("aten::bmm",),
    "attention: softmax": ("softmax",),
    "dropout: numbers": ("random_",),
    "dropout: masks and scaling": ("bitwise", "aten::mul", "aten::sub_"),
    "casts and copies": ("aten::copy_",),
    "layer norm, gelu": ("layer_norm", "gelu", "aten::sum"),
    "optimizer and clipping": (
        "_foreach", "aten::lerp_", "aten::abs", "aten::maximum", "aten::addcdiv_", "Optimizer", "vector_norm", "aten::mul_",
    ),
    "embedding": ("embedding", "index_select", "fill_"),
}  # fmt: skip


def kind_of(name: str) -> str:
    """The kind of an operator."""
    if name in ("aten::mul_", "aten::_foreach_mul_"):
        return "optimizer and clipping"
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), OTHER)


def trained(given: argparse.Namespace, profiler: profile | None) -> tuple[float, int, str]:
    """Seconds of a training without its evaluation, its tokens, its precision; the profiler covers the same part."""
    lengths = dict(max_length=384, overlap=128, batch_size=16, max_steps=given.steps, epochs=50.0, log_every=1000)
    rows = dict(data=given.data, encoder=given.encoder, train_limit=1200, eval_limit=1, tasks=["squad"], qa_weight=1.0, device="cpu")
    tokens = []

    def watch(records: list[dict]) -> None:
        """The log is written after the last step: evaluation follows."""
        tokens.extend(record["tokens"] for record in records)
        if profiler:
            profiler.stop()

    with tempfile.TemporaryDirectory() as folder:
        config = Config(**lengths, **rows, precision=given.precision, run_dir=f"{folder}/run")
        setup = prepare(config)
        if profiler:
            profiler.start()
        manifest = train(config, setup, watch).manifest
    return manifest["train_seconds"], sum(tokens), manifest["precision"]


def by_kind(profiler: profile) -> dict[str, float]:
    """Share of each kind of work, largest first."""
    times: dict[str, float] = {}
    for event in profiler.key_averages():
        times[kind_of(event.key)] = times.get(kind_of(event.key), 0) + event.self_cpu_time_total
    return {kind: seconds / sum(times.values()) for kind, seconds in sorted(times.items(), key=lambda item: -item[1])}


def draw(shares: dict[str, float], milliseconds: float, limit: float, path: Path) -> None:
    """Draws a bar per kind of work, in milliseconds of a step, and a line where the matrix products alone would end (`limit`)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    before = 0.0
    for i, (kind, share) in enumerate(shares.items()):
        width = share * milliseconds
        axes.barh(kind, width, left=before, color="C0" if kind == "matrix products" else "C7")
        right = before + width < 0.7 * milliseconds
        text = f"{width:.0f} ms, {share:.0%}"
        place, box = (before + width if right else before, i), dict(facecolor="white", edgecolor="none", pad=1)
        side = dict(xytext=(5, 0), ha="left") if right else dict(xytext=(-5, 0), ha="right")
        axes.annotate(text, place, textcoords="offset points", va="center", bbox=box, **side)
        before += width
    axes.axvline(limit, color="C3", linestyle="--", zorder=0, label=f"the layers' products in isolation: {limit:.0f} ms")
    axes.legend(loc="lower left")
    axes.invert_yaxis()
    axes.set(xlabel=f"milliseconds of a step ({milliseconds:.0f} in all), one kind of work after the other", xlim=(0, milliseconds * 1.02))
    figure.savefig(path, dpi=110)


def main() -> None:
    """Prints a line per kind: share of a step; tokens/s and their limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MTDNN_DATA", "sample"))
    parser.add_argument("--encoder", default=DEFAULT_ENCODER, help="a folder, or the default one")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--quick", action="store_true", help="4 steps, no figure")
    parser.add_argument("--figure", type=Path, default=Path(__file__).with_name("step.png"))
    given = parser.parse_args()
    given.steps = min(given.steps, 4) if given.quick else given.steps
    trained(given, None)
    seconds, tokens, precision = trained(given, None)
    profiler = profile()
    slowed = trained(given, profiler)[0]
    shares, each = by_kind(profiler), 1000 * seconds / given.steps
    print(f"{heading()}; {precision}, {given.steps} steps, {tokens / given.steps:,.0f} tokens a step")
    for kind, share in shares.items():
        print(f"{kind:32} {share:6.1%} {share * each:7.0f} ms")
    config = AutoConfig.from_pretrained(find_encoder(given.encoder).path)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    rate = alone(config, tokens // given.steps, torch.device("cpu"), dtype)
    allowed, speed = rate / (6 * weights(config)), tokens / seconds
    print(f"{speed:,.0f} tokens/s, {tokens / slowed:,.0f} under the profiler")
    print(
        f"the layers' matrix products alone, at {rate / 1e9:,.0f} GFLOP/s, would allow {allowed:,.0f}: {speed / allowed:.0%} of it reached"
    )
    if not given.quick:
        draw(shares, each, each * speed / allowed, given.figure)


if __name__ == "__main__":
    main()

"""Tables of `overview` → figures: how many rows, how long, which answers and labels. Computes no reported number."""

from collections.abc import Sequence

import numpy as np

from mtdnn_kit.views.plots import BASELINE, Picture, canvas, detached, horizontal_bars, panels, styled
from mtdnn_kit.views.style import colour, task_numbers


@styled
def lengths_figure(lengths: dict[str, np.ndarray], max_length: int) -> Picture:
    """How many tokens the items of each task have. lengths: task → tokens of each window or sequence."""
    figure, places = panels(len(lengths))
    for axes, (task, number) in zip(places, task_numbers(lengths).items(), strict=True):
        tokens = lengths[task]
        axes.hist(tokens, bins=np.linspace(0, max(max_length, tokens.max()), 25).tolist(), color=colour(number), alpha=0.8)
        axes.axvline(max_length, ls=":", **BASELINE)
        axes.set(title=f"{task} (n = {len(tokens):,})", xlabel="tokens", xlim=(0, None))
    for axes in places[:1]:
        axes.set_ylabel("items")
    longest = ", ".join(f"{task} {tokens.max()}" for task, tokens in lengths.items())
    return detached(figure, f"Tokens of each task's items, of at most {max_length}; the longest: {longest}.")


@styled
def shares_figure(shares: dict[str, dict[str, int]], tasks: Sequence[str] = (), task: str = "") -> Picture:
    """One panel of bars each: title → {name: number}. tasks: all tasks, if the titles are among them; task: the one that all numbers belong
    to.

    For tasks, a dotted line marks equal frequency of all labels.
    """
    rows = max(map(len, shares.values()))
    figure, places = panels(len(shares), 1.1 + 0.3 * rows, width=3.2)
    numbers = task_numbers([*tasks, task]) if task else task_numbers([*tasks, *shares])
    for axes, (title, counts) in zip(places, shares.items(), strict=True):
        total = sum(counts.values()) or 1
        equal = total / len(counts) if tasks and not task else 0  # numbers stand to the right of that line, too
        texts = [(max(n, equal), f" {n:,} ({'<1%' if 0 < n / total < 0.005 else f'{n / total:.0%}'})") for n in counts.values()]
        horizontal_bars(axes, counts, texts, colour(numbers[task or title]), fontsize=9)
        axes.set(title=f"{title}\n(n = {total:,})", xlim=(0, 2.0 * max(counts.values(), default=1)), xlabel="rows")
        if equal:
            axes.axvline(equal, ls=":", **BASELINE)
    said = (f"{title}: {', '.join(f'{name} {n:,}' for name, n in counts.items())}" for title, counts in shares.items())
    return detached(figure, f"Numbers of rows. {'; '.join(said)}.")


@styled
def sizes_figure(rows: Sequence[dict]) -> Picture:
    """How many rows of each task train, tune the threshold and are scored. rows: of `overview.datasets_table`."""
    figure, axes = canvas(figsize=(9, 0.8 + 0.34 * len(rows)))
    numbers, left = list(task_numbers(row["task"] for row in rows).values()), np.zeros(len(rows))
    for part, alpha in (("train", 0.9), ("held out", 0.6), ("scored", 0.3)):
        counts = np.array([row[part] for row in rows])
        axes.barh(range(len(rows)), counts, left=left, color=list(map(colour, numbers)), alpha=alpha, label=part)
        left += counts
    for y, row in enumerate(rows):
        said = " · ".join(f"{row[part]:,} {part}" for part in ("train", "held out", "scored") if row[part])
        axes.text(left[y], y, f"  {said}", va="center", fontsize=9)
    axes.set(yticks=range(len(rows)), yticklabels=[row["task"] for row in rows], xlabel="rows", xlim=(0, 1.5 * left.max()))
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    each = (f"{row['task']} {row['train']:,} train, {row['held out']:,} held out, {row['scored']:,} scored" for row in rows)
    return detached(figure, f"Rows of each task: {'; '.join(each)}.")

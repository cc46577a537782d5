"""How much a training forgets of each task: its score when it was learnt minus its score at the end, from the scorings during training
(`eval_every`), on the same rows (at most 200 per task). Scores are in percent, differences in points.

Learnt: under `sampler: sequential` after the task's last block of steps, so that the last task forgets nothing; else at
its best scoring (Chaudhry et al. 2018, "Riemannian Walk for Incremental Learning", section 4). The best of many noisy scorings is biased
upwards: even a task that forgets nothing seems to lose some points, more with more scorings and fewer rows. After a block
there is no such bias.
"""

from collections.abc import Mapping

import numpy as np

from mtdnn_kit.runs.curves import TaskCurve, curves
from mtdnn_kit.runs.run import Run


def forgetting(run: Run) -> list[dict]:
    """One row per task scored during training, in the run's order: its headline score when `learnt`, and where that was, at the `end`, and
    the points `forgotten`. [] where none was scored, or no log is kept; without a task that was not scored in its block."""
    blocks = _last_blocks(run) if run.config.get("sampler") == "sequential" else {}
    rows = []
    for task, curve in curves(run).items():
        at = _after(curve, *blocks[task]) if task in blocks else int(np.argmax(curve.values))
        if at is not None:
            learnt, end, step = curve.values[at], curve.values[-1], curve.steps[at]
            said = f"step {step:,}, after its block" if task in blocks else f"step {step:,}, the best of {len(curve.values)}"
            rows.append({"task": task, "score": curve.score, "learnt": learnt, "at": said, "end": end, "forgotten": learnt - end})
    return rows


def forgetting_table(runs: Mapping[str, Run], settings: Mapping[str, Mapping[int, str]]) -> list[dict]:
    """One row per setting (name → seed → run) and task: means over its seeds, their number, and the standard deviation of `forgotten`."""
    rows = []
    for setting, own in settings.items():
        found = [row for name in own.values() if name in runs for row in forgetting(runs[name])]
        for task in dict.fromkeys(row["task"] for row in found):
            some = [row for row in found if row["task"] == task]
            means = {key: float(np.mean([row[key] for row in some])) for key in ("learnt", "end", "forgotten")}
            sd = float(np.std([row["forgotten"] for row in some], ddof=1)) if len(some) > 1 else None
            where = some[0]["at"] if len(some) == 1 else "after its block" if "block" in some[0]["at"] else "its best scoring"
            rows.append(
                {"setting": setting, "task": task, "score": some[0]["score"], **means, "sd": sd, "seeds": len(some), "learnt at": where}
            )
    return rows


def note(runs: Mapping[str, Run], settings: Mapping[str, Mapping[int, str]]) -> str:
    """The same in a sentence; what to set where no run was scored during training."""
    said = [f"{row['setting']} {row['forgotten']:.1f} points of {row['task']}" for row in forgetting_table(runs, settings)]
    best = any("best" in str(row["learnt at"]) for row in forgetting_table(runs, settings))
    chance = " The best of several scorings is partly chance, and so is what is lost since." if best else ""
    return f"Lost since it was learnt: {'; '.join(said)}.{chance}" if said else "Set eval_every to see what each task loses."


def _last_blocks(run: Run) -> dict[str, tuple[int, int]]:
    """{task: the first and the last step (from 1) of its last block of steps}."""
    found: dict[str, tuple[int, int]] = {}
    before = None
    for record in run.log():
        task, step = record["task"], record["step"]
        found[task] = (found[task][0] if task == before else step, step)
        before = task
    return found


def _after(curve: TaskCurve, first: int, last: int) -> int | None:
    """The index of the last scoring within a block, including one at its end; None without a scoring there."""
    return next((i for i in reversed(range(len(curve.steps))) if first <= curve.steps[i] <= last), None)

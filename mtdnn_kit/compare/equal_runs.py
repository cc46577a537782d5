"""Runs that are given as several seeds of a setting and are one and the same: their spread is 0, and a test of it says anything."""

from collections.abc import Sequence
from itertools import combinations

from mtdnn_kit.compare.pairing import Question
from mtdnn_kit.errors import CompareError


def check_seeds(questions: Sequence[Question], setting: str, runs: dict[int, str]) -> None:
    """Raises CompareError where two seeds of a setting, {seed: run}, reply the same to all `questions`, scores included."""
    for (one, a), (two, b) in combinations(runs.items(), 2):
        if questions and all(q.replies[a] == q.replies[b] for q in questions):
            raise CompareError(
                f"setting {setting!r}: seeds {one} and {two} ({a} and {b}) reply the same to all {len(questions):,} questions, to the last "
                "digit: one run given twice, which says nothing about seeds. Leave one out, or train it with another seed"
            )

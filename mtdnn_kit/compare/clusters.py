"""The population of an interval: other passages, or other articles. It depends on which questions are not independent of each other.

Rows with labels (`choices.Item`) are clustered by their `group` or, without one, by their first text: a premise that several pairs share.
"""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from typing import Any

from mtdnn_kit.compare.choices import Item
from mtdnn_kit.compare.pairing import Question
from mtdnn_kit.errors import CompareError

CLUSTERS = {"passage": "passages", "title": "articles"}  # `cluster` of study files and notebooks → the name of its clusters
Compared = Sequence[Any]  # `Question`s, or `Item`s: rows with labels
FEW = 20  # with fewer clusters, a table states their number and the method


def clustered(questions: Compared, cluster: str = "passage") -> list[Any]:
    """The same questions, with `cluster` (a key of CLUSTERS) for intervals and tests. Rows with labels are returned unchanged. Raises
    CompareError, also if titles are missing."""
    if cluster not in CLUSTERS:
        raise CompareError(f"cluster: {cluster!r} must be one of {', '.join(CLUSTERS)}")
    if questions and isinstance(questions[0], Item):
        return list(questions)
    bare = sum(not q.row.title for q in questions)
    if cluster == "title" and bare:
        raise CompareError(f"cluster: {bare:,} of {len(questions):,} questions have no title. Set cluster to passage")
    return [replace(q, by_title=cluster == "title") for q in questions]


def population(questions: Compared) -> str:
    """The clusters of these questions: "passages" or "articles"; of rows with labels "groups" or "texts"."""
    return next((q.population for q in questions), "passages")


def other_population(questions: Compared) -> list[Question] | None:
    """The same questions clustered by article instead of by passage, or vice versa. None for rows with labels, with fewer than two titles,
    or if every title has a single passage, which makes both the same."""
    if questions and not isinstance(questions[0], Question):
        return None
    titles, passages = {q.row.title for q in questions}, {q.row.context for q in questions}
    if len(titles) < 2 or "" in titles or len(titles) == len(passages):
        return None
    return clustered(questions, "passage" if population(questions) == "articles" else "title")


def speaks_for(questions: Compared, settings: Mapping[str, Sized] | None = None) -> str:
    """A sentence above tables: the population of their intervals and tests, and a note if there are few clusters. settings: name → its
    runs; where some have several, their intervals are for other seeds, too."""
    said = f"Intervals and tests speak for {_counted(questions)}"
    sizes = [len(own) for own in (settings or {}).values()]
    if max(sizes, default=1) > 1:
        said += f", and {'those of settings with several seeds ' * (min(sizes) == 1)}for other seeds as well"
    other = other_population(questions)
    few = [_count(some) for some in (questions, other) if some and _count(some) < FEW]
    said += f"; columns that name them, for {_counted(other)}." if other else "."
    if not few:
        return said
    from mtdnn_kit.compare.significance import EXACT  # imports scipy, which the explorer does without

    tried = "all ways to flip their signs are tried" if min(few) <= EXACT else "random sign flips are tried"
    said += f" {min(few)} are few: between two models {tried} and a t-test must agree; intervals of scores are by t, with few degrees"
    beside = ", those of no-answer AP may hold 91 times in 100 instead of 95" if isinstance(questions[0], Question) else ""
    return f"{said}{beside}."


def _counted(questions: Compared) -> str:
    return f"other {population(questions)} like these {_count(questions):,}"


def _count(questions: Compared) -> int:
    return len({q.cluster for q in questions})

"""For whom an interval speaks: for other passages, or for other articles. Which questions are not independent of each other decides it."""

from collections.abc import Sequence
from dataclasses import replace

from mtdnn_kit.compare.pairing import Question
from mtdnn_kit.errors import CompareError

CLUSTERS = {"passage": "passages", "title": "articles"}  # `cluster` of study files and notebooks → what its clusters are called
FEW = 20  # below so many clusters a table is told how many there are, and what holds there


def clustered(questions: Sequence[Question], cluster: str = "passage") -> list[Question]:
    """The same questions, whose intervals and tests go by `cluster`: a key of CLUSTERS. Raises CompareError, also where titles lack."""
    if cluster not in CLUSTERS:
        raise CompareError(f"cluster: {cluster!r} must be one of {', '.join(CLUSTERS)}")
    bare = sum(not q.row.title for q in questions)
    if cluster == "title" and bare:
        raise CompareError(f"cluster: {bare:,} of {len(questions):,} questions have no title. Set cluster to passage")
    return [replace(q, by_title=cluster == "title") for q in questions]


def population(questions: Sequence[Question]) -> str:
    """What the clusters of these questions are: "passages" or "articles"."""
    return CLUSTERS["title" if any(q.by_title for q in questions) else "passage"]


def other_population(questions: Sequence[Question]) -> list[Question] | None:
    """The same questions by articles where they go by passages, and the other way round; None where there are no two titles, or each has a
    single passage, so that both are the same."""
    titles, passages = {q.row.title for q in questions}, {q.row.context for q in questions}
    if len(titles) < 2 or "" in titles or len(titles) == len(passages):
        return None
    return clustered(questions, "passage" if population(questions) == "articles" else "title")


def speaks_for(questions: Sequence[Question]) -> str:
    """A sentence for the head of tables: for whom their intervals and tests speak, and where clusters are few, that they are."""
    said = f"Intervals and tests speak for {_counted(questions)}"
    other = other_population(questions)
    few = [_count(some) for some in (questions, other) if some and _count(some) < FEW]
    said += f"; columns that name them, for {_counted(other)}." if other else "."
    return (
        said
        if not few
        else f"{said} {min(few)} are few: every way to flip their signs is tried and a t-test must agree, scores have intervals by t with "
        "few degrees; those of no-answer AP may hold 91 times in 100 instead of 95."
    )


def _counted(questions: Sequence[Question]) -> str:
    return f"other {population(questions)} like these {_count(questions):,}"


def _count(questions: Sequence[Question]) -> int:
    return len({q.cluster for q in questions})

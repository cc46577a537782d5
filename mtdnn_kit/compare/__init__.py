"""Compares several runs: answers paired by question, the outcome of each, slices, differences and their significance."""

from mtdnn_kit.compare.choices import Choice, Item
from mtdnn_kit.compare.choices import pair_any as pair
from mtdnn_kit.compare.clusters import CLUSTERS, clustered, speaks_for
from mtdnn_kit.compare.outcomes import ANSWER_KINDS, Columns, Outcomes, of_items, of_questions, reply_at, span_kind
from mtdnn_kit.compare.pairing import Question, Reply, find, named, qa_task, reply, two
from mtdnn_kit.errors import CompareError

__all__ = ["ANSWER_KINDS", "CLUSTERS", "Choice", "Columns", "CompareError", "Item", "Outcomes", "Question", "Reply"]
__all__ += ["clustered", "find", "named", "of_items", "of_questions", "pair", "qa_task", "reply", "reply_at", "span_kind"]
__all__ += ["speaks_for", "two"]

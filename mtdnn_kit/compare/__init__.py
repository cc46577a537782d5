"""Several runs compared: answers paired by question, what became of each, slices, differences and what they are worth."""

from mtdnn_kit.compare.pairing import Question, Reply, find, named, pair, reply, two
from mtdnn_kit.errors import CompareError

__all__ = ["CompareError", "Question", "Reply", "find", "named", "pair", "reply", "two"]

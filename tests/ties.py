"""Rounding-tolerant comparison of answers: answers whose scores differ by no more than TIE count as equal.

Of two spans whose scores are equal up to rounding, different CPUs may choose different ones; so may one CPU with another batch size,
other threads or another attention implementation. A test that compares two such computations compares their scores, and accepts any
answer that ties with the best.
"""

import math
from typing import NamedTuple

import torch

TIE = 1e-4  # between logits, and between log probabilities: fp32 rounding is about 1e-6


class Scored(NamedTuple):
    """A question's null score, and the score of each known span of characters (start, end)."""

    null: float
    spans: dict[tuple[int, int], float]

    def says(self, span: tuple[int, int] | None, threshold: float) -> bool:
        """Whether `span` is a valid answer at a threshold; None for no answer."""
        best = max(self.spans.values(), default=-math.inf)
        if span is None:
            return self.null - best > threshold - TIE
        return self.null - best <= threshold + TIE and self.spans.get(span, -math.inf) >= best - TIE

    def like(self, other: "Scored") -> bool:
        """Whether two n-best lists are the same up to ties, including ties with the last entry."""
        sides = ((self.spans, other.spans), (other.spans, self.spans))
        near = all(abs(there.get(span, min(there.values(), default=0.0)) - x) <= TIE for here, there in sides for span, x in here.items())
        return near and len(self.spans) == len(other.spans) and abs(self.null - other.null) <= TIE


def of_entry(entry: dict) -> Scored:
    """From a line of an n-best file."""
    return Scored(entry["null"], {(start, end): score for start, end, score, _ in entry["nbest"]})


def of_reply(reply) -> Scored:
    """From a reply's n-best (start, end, probability), whose logarithms are the scores up to a constant."""
    return Scored(math.log(reply.nothing), {(start, end): math.log(p) for start, end, p in reply.best})


def most(probabilities) -> set[int]:
    """The indices of the highest probability and of all that tie with it."""
    return {i for i, p in enumerate(probabilities) if p >= max(probabilities) - TIE}


def plain_spans(model, tokenizer, record: dict, max_length: int, overlap: int, max_answer: int = 30) -> Scored:
    """The scores of all spans of a question by a transformers model: its tokenizer's windows and a double loop over each; slow and
    simple."""
    coded = tokenizer(
        record["question"],
        record["context"],
        truncation="only_second",
        max_length=max_length,
        stride=overlap,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="pt",
    )
    inputs = {name: x for name, x in coded.items() if name in tokenizer.model_input_names}
    with torch.inference_mode():
        out = model(**inputs)
    nulls, found = [], {}
    for w in range(len(coded["input_ids"])):
        start, end, part = out.start_logits[w].tolist(), out.end_logits[w].tolist(), coded.sequence_ids(w)
        tokens, places = tokenizer.convert_ids_to_tokens(coded["input_ids"][w].tolist()), coded["offset_mapping"][w].tolist()
        able = [p == 1 and t != "▁" and bool(record["context"][a:b].strip()) for p, t, (a, b) in zip(part, tokens, places, strict=True)]
        places = [trimmed(record["context"], a, b) for a, b in places]
        nulls.append(start[0] + end[0])
        for i in range(len(start)):
            for j in range(i, min(i + max_answer, len(start))):
                if able[i] and able[j]:
                    span = places[i][0], places[j][1]
                    found[span] = max(start[i] + end[j], found.get(span, -math.inf))
    return Scored(min(nulls), found)


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The characters [start, end) without white space at either end."""
    inside = text[start:end]
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())

"""Edits of a question and its passage to try a model with, and what an edit changed. Text in, text out; no model."""

import itertools
import re
from collections import Counter
from difflib import SequenceMatcher
from operator import itemgetter

LINKS = r"(?: (?:of|the|de|la|von|van|der|den|du|da|di|el)){0,2} "  # within a name: Bank of England, Ludwig van Beethoven
NAME_WORD = re.compile(r"(?:[A-Z]\.){2,}|\w+(?:['’-]\w+)*?(?=['’]s\b|\b(?!['’-]\w))")
SENTENCE_END = re.compile(r"""(?:^|[.!?…。！？]|\n)\W*$""")
PIECES = tuple(map(re.compile, (r"\s+|[^\s.!?。][^.!?。\n]*[.!?。]*|[.!?。]+", r"\s+|\w+|[^\w\s]")))  # sentences, roughly; words and signs
WORK = 100_000  # pairs of equal pieces that are looked at: a fraction of a second; with more, all that is between equal ends is changed


def names(context: str) -> list[str]:
    """What a passage may have for names, the most frequent first, then in order: words with a capital, in a row joined (Bank of England).

    A word that stands there without a capital, too, is none. A lone one at the beginning of a sentence, where everything has a capital,
    counts if it is also seen elsewhere, or in a longer name.
    """
    words = list(NAME_WORD.finditer(context))
    small = {word.group() for word in words}
    runs: list[list[re.Match]] = []
    for word in (word for word in words if word.group()[0].isupper() and word.group().lower() not in small):
        joined = runs and re.fullmatch(LINKS, context[runs[-1][-1].end() : word.start()])
        runs[-1].append(word) if joined else runs.append([word])
    sure = {word.group() for run in runs for word in run if len(run) > 1 or not SENTENCE_END.search(context[: word.start()][-20:])}
    found = [context[run[0].start() : run[-1].end()] for run in runs if len(run) > 1 or run[0].group() in sure]
    return [name for name, _ in Counter(found).most_common()]


def swap(text: str, old: str, new: str) -> str:
    """Every `old` becomes `new` and every `new` `old`, as whole words, letter for letter; of names within names the longer one counts."""
    if not old or not new:
        return text
    either = "|".join(map(re.escape, sorted({old, new}, key=len, reverse=True)))
    return re.sub(rf"(?<!\w)(?:{either})(?!\w)", lambda found: new if found.group() == old else old, text)


def word_changes(before: str, after: str) -> list[tuple[str, str]]:
    """What an edit did, as ("same" | "cut" | "added", text) in order, by words: same + cut is `before`, same + added is `after`.

    Sentences are set against each other first, then words within those that changed, so that long passages take no time.
    """
    changes = itertools.groupby(filter(itemgetter(1), _changes(before, after, *PIECES)), itemgetter(0))
    return [(kind, "".join(text for _, text in some)) for kind, some in changes]


def _changes(before: str, after: str, pieces: re.Pattern, *finer: re.Pattern) -> list[tuple[str, str]]:
    a, b = pieces.findall(before), pieces.findall(after)
    head = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    most = min(len(a), len(b)) - head
    tail = next((i for i in range(most) if a[-1 - i] != b[-1 - i]), most)
    found = [("same", "".join(a[:head]))]
    for same, x, y in _regions(a[head : len(a) - tail], b[head : len(b) - tail]):
        pairs = zip(x, y, strict=True) if len(x) == len(y) and finer else [("".join(x), "".join(y))]
        for cut, added in pairs:
            if same or not (cut and added and finer):
                found += [("same", cut)] if same else [("cut", cut), ("added", added)]
            else:
                found += _changes(cut, added, *finer)
    return [*found, ("same", "".join(a[len(a) - tail :]))]


def _regions(a: list[str], b: list[str]) -> list[tuple[bool, list[str], list[str]]]:
    """(whether equal, pieces of a, of b), in order. White space alone is no reason to call two places equal."""
    counts = Counter(b)
    if sum(counts[piece] for piece in a if not piece.isspace()) > WORK:
        return [(False, a, b)]
    changes = SequenceMatcher(str.isspace, a, b, autojunk=False).get_opcodes()
    return [(kind == "equal", a[i:j], b[k:m]) for kind, i, j, k, m in changes]

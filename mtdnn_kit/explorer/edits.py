"""Edits of a question and its passage to try a model with, and what an edit changed. Text in, text out; no model and no language library.

English alone, by rules that a reader can follow: where none is sure to leave a readable sentence, the text comes back as it was.
"""

import itertools
import re
from collections import Counter
from difflib import SequenceMatcher
from operator import itemgetter


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A full stop after one of these ends no sentence.
ABBREVIATIONS = _words("""Mr Mrs Ms Dr Prof Rev Hon Gen Col Maj Capt Lt Sgt Gov Sen Rep Pres St Mt Ft Jr Sr No Nos vs etc cf al ca
    approx Inc Ltd Co Corp Univ Dept Fig Vol Ed Eds pp Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec""")
# No names, though a sentence may begin with them.
COMMON = _words("""a an the this that these those it its he his him she her they their them we our us you your i my and or but nor so
    yet if as at by for from in into of off on onto to with without within after before during since until when while where who whom
    whose which what why how there here then than not no all any both each few many more most much one other others some such same
    several two three four five first second third last another because although though however thus therefore hence also even still
    only just once between among against under over above below about around through throughout despite unlike like per is are was were
    be been being has have had do does did can could may might must shall should will would according today now later often sometimes
    usually instead meanwhile moreover furthermore nevertheless indeed finally""")
LINKS = r"(?: (?:of|the|de|la|von|van|der|den|du|da|di|el)){0,2} "  # within a name: Bank of England, Ludwig van Beethoven
STOP = re.compile(r"""([.!?…]+["'”’)\]]*)\s+|[。！？]+\s*|\n\s*\n""")
NAME_WORD = re.compile(r"(?:[A-Z]\.){2,}|\w+(?:['’-]\w+)*?(?=['’]s\b|\b(?!['’-]\w))")
PIECES = tuple(map(re.compile, (r"\s+|[^\s.!?。][^.!?。\n]*[.!?。]*|[.!?。]+", r"\s+|\w+|[^\w\s]")))  # sentences, roughly; words and signs
WORK = 100_000  # pairs of equal pieces that are looked at: a fraction of a second; with more, all that is between equal ends is changed


def sentences(text: str) -> list[tuple[int, int]]:
    """Characters [start, end) of each sentence, white space trimmed, in order; a text without any full stop is one sentence.

    A sentence ends at . ! ? … and closing marks before white space, at 。！？, or at an empty line; not before a small letter, within a
    number, or after an abbreviation ("Dr."), nor after an initial ("U.S.", "J.") unless a common word begins the next.
    """
    ends = [stop.end() for stop in STOP.finditer(text) if stop.group(1) is None or _ends(text, stop)]
    whole = [(a, b) for a, b in itertools.pairwise([0, *ends, len(text)]) if text[a:b].strip()]
    return [(b - len(text[a:b].lstrip()), a + len(text[a:b].rstrip())) for a, b in whole]


def _ends(text: str, stop: re.Match) -> bool:
    """Whether marks before white space end a sentence."""
    if text[stop.end() : stop.end() + 1].islower():
        return False
    before = re.search(r"[\w.]*$", text[max(stop.start() - 20, 0) : stop.start()])[0]  # type: ignore[index] # it matches everywhere
    if not re.fullmatch(r"\.\W*", stop.group(1)):
        return True
    if re.fullmatch(r"(?:\w{1,2}\.)+\w{1,2}|[A-HJ-Z]", before):
        return re.match(r"\w*", text[stop.end() :])[0].lower() in COMMON  # type: ignore[index]
    return before not in ABBREVIATIONS


def shorten(context: str, keep: tuple[int, int] | None = None) -> str:
    """The passage without the sentences that hold nothing of characters [start, end) of `keep`; None: without its last sentence.

    What stays is as it was, and the passage itself where nothing can go: it is one sentence, or `keep` lies in none.
    """
    parts = sentences(context)
    if keep is None:
        return context[: parts[-2][1]] if len(parts) > 1 else context
    held = [(a, b) for a, b in parts if a < keep[1] and keep[0] < b]
    return context[held[0][0] : held[-1][1]] if 0 < len(held) < len(parts) else context


def names(context: str) -> list[str]:
    """The passage's names, the most frequent first, then in order: words with a capital, those in a row joined ("Bank of England").

    Common words are none. A lone word at the beginning of a sentence, where everything has a capital, counts if it is also seen with one
    within a sentence, or in a longer name.
    """
    words = [word for word in NAME_WORD.finditer(context) if word.group()[0].isupper() and word.group().lower() not in COMMON]
    runs: list[list[re.Match]] = []
    for word in words:
        joined = runs and re.fullmatch(LINKS, context[runs[-1][-1].end() : word.start()])
        runs[-1].append(word) if joined else runs.append([word])
    starts = {first.end() for a, _ in sentences(context) if (first := re.compile(r"\W*").match(context, a))}
    sure = {word.group() for run in runs for word in run if len(run) > 1 or word.start() not in starts}
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

"""Statement 1 of the design for tokenizers with every component of the library: each satisfies it or is refused with the reason."""

import itertools
import random
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models
from tokenizers import pre_tokenizers as P
from tokenizers import processors as Q

from mtdnn_kit.errors import EncoderError
from mtdnn_kit.tasks.spans import token_spans
from mtdnn_kit.tasks.tokens import TokenList, tokenize

VOCABULARY = list(dict.fromkeys(["[UNK]", *sorted(P.ByteLevel.alphabet()), *map(chr, range(32, 127)), *"▁éのة"]))
LONGER = ["th", "the", "Ġthe", "Ġt", "▁t", "Rh", "in", "Rhin", "ĠR"]
MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("Ġ", "t"), ("▁", "t"), ("R", "h"), ("i", "n"), ("Rh", "in"), ("Ġ", "R")]
MODELS = {
    "BPE": models.BPE({piece: i for i, piece in enumerate(VOCABULARY + LONGER)}, MERGES, unk_token="[UNK]"),
    "Unigram": models.Unigram([("[UNK]", 0.0), *((piece, -5.0 if len(piece) == 1 else -3.0) for piece in VOCABULARY[1:] + LONGER)], 0),
    "WordPiece": models.WordPiece(
        {piece: i for i, piece in enumerate([*VOCABULARY, *LONGER, *(f"##{piece}" for piece in VOCABULARY[1:] + LONGER)])},
        unk_token="[UNK]",
    ),
    "WordLevel": models.WordLevel({"[UNK]": 0, "the": 1, "Rhine": 2, "▁the": 3, "Ġthe": 4}, unk_token="[UNK]"),
}
KINDS = {  # every pre-tokenizer of the library; within a kind, those that drop letters come last
    "BertPreTokenizer": [P.BertPreTokenizer()],
    "ByteLevel": [P.ByteLevel(prefix, use_regex=regex) for prefix in (False, True) for regex in (False, True)],
    "CharDelimiterSplit": [P.CharDelimiterSplit(" "), P.CharDelimiterSplit("|")],
    "Digits": [P.Digits(False), P.Digits(True)],
    "FixedLength": [P.FixedLength(3)],
    "Metaspace": [P.Metaspace(), P.Metaspace(prepend_scheme="never"), P.Metaspace(prepend_scheme="first"), P.Metaspace("_", split=False)],
    "Punctuation": [P.Punctuation(), P.Punctuation("merged_with_next"), P.Punctuation("removed")],
    "Split": [P.Split(Regex(r"\s+"), "removed"), P.Split(Regex(r"\p{P}"), "contiguous"), P.Split("e", "removed")],
    "UnicodeScripts": [P.UnicodeScripts()],
    "Whitespace": [P.Whitespace()],
    "WhitespaceSplit": [P.WhitespaceSplit()],
}
POST_KINDS = {
    "BertProcessing": [Q.BertProcessing(("[UNK]", 0), ("[UNK]", 0))],
    "ByteLevel": [Q.ByteLevel(add_prefix_space=prefix, trim_offsets=trim) for prefix in (False, True) for trim in (False, True)],
    "RobertaProcessing": [
        Q.RobertaProcessing(("[UNK]", 0), ("[UNK]", 0), trim, prefix) for prefix in (False, True) for trim in (False, True)
    ],
    "TemplateProcessing": [Q.TemplateProcessing("[UNK] $A [UNK]", "[UNK] $A [UNK] $B:1 [UNK]:1", [("[UNK]", 0)])],
}
PRE = [one for some in KINDS.values() for one in some]
POST = [one for some in POST_KINDS.values() for one in some]
POST += [Q.Sequence([Q.ByteLevel(trim_offsets=True), one]) for one in (POST[0], POST[-1])]
WORDS = ["The Rhine rises.", "  the  Rhine, (rises)\tin\nthe Alps; 1973", "in 東京 and 한국 🌍 🇩🇪", "שלום مرحبا สวัสดี नमस्ते"]
PUT = set("▁_Ġâĸģ")  # marks of a space inserted before a word, including its bytes
WORDS += ["a|b x\x00y _ ▁e\u0301lan", "the-Rhine's", "\u00a0x\u3000yet", "R"]


@pytest.mark.parametrize(("module", "base", "kinds"), [(P, P.PreTokenizer, KINDS), (Q, Q.PostProcessor, POST_KINDS)])
def test_every_component_of_the_library_is_tested_here(module, base, kinds):
    there = {name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, base) and value is not base}
    assert there == {*kinds, "Sequence"}


def built(model: str, parts: tuple, post=None) -> SimpleNamespace:
    made = Tokenizer(MODELS[model])
    made.pre_tokenizer = parts[0] if len(parts) == 1 else P.Sequence(list(parts))
    made.post_processor = post
    return SimpleNamespace(backend_tokenizer=made)


def thrown_away(tokenizer: SimpleNamespace) -> set[str]:
    """Letters of WORDS that are in no token of a tokenizer without a post-processor, or only in one that stands for an inserted space."""
    found = set()
    for text in WORDS:
        made, held = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False), set()
        for piece, (start, end) in zip(made.tokens, made.offsets, strict=True):
            held |= set() if set(piece) <= PUT and text[start] not in "▁_" else set(range(start, end))
        found |= {letter for i, letter in enumerate(text) if i not in held and not letter.isspace() and letter != "\0"}
    return found


def check_words(made: TokenList, names: list[str]) -> None:
    """Each word maps to the smallest token span that covers it, exactly where both ends are token boundaries (statement 1)."""
    for number, text in enumerate(WORDS):
        found, at = made[number], 0
        starts, ends = (part[found.ends > found.starts] for part in found[1:])
        for word in text.split():
            start = text.index(word, at)
            end = at = start + len(word)
            ((i, j),) = token_spans(made, np.array([number]), np.array([[start, end]])).tolist()
            said = found.starts[i], found.ends[j]
            assert said[0] <= start and said[1] >= end, (text, word)
            assert said == (starts[starts <= start].max(), ends[ends >= end].min())
            assert said == (start, end) or start not in starts or end not in ends
            assert names[found.ids[i]] not in ("▁", "_", "Ġ") or text[start] in "▁_", "an inserted space is not part of a word"


def hold_or_refuse(combinations) -> list[bool]:
    """For each (model, parts, post-processor), checked in full: whether it is refused."""
    refused = []
    for model, parts, post in combinations:
        lost, tokenizer = thrown_away(built(model, parts)), built(model, parts, post)
        refused.append(bool(lost))
        if lost:
            with pytest.raises(EncoderError, match="in no token, so answers would lose it: its pre-tokenizer or its model"):
                tokenize(tokenizer, WORDS)
        else:
            vocabulary = tokenizer.backend_tokenizer.get_vocab()
            check_words(tokenize(tokenizer, WORDS), sorted(vocabulary, key=vocabulary.get))
    return refused


@pytest.mark.parametrize("model", MODELS)
def test_1_holds_for_each_pre_tokenizer_with_each_post_processor(model):
    refused = hold_or_refuse((model, (one,), post) for one in PRE for post in POST)
    assert (sum(refused), len(refused)) == (3 * len(POST), len(PRE) * len(POST))


def test_1_holds_for_pairs_and_triples_of_pre_tokenizers():
    """Each pair, and the same number of triples, cycling through models and post-processors."""
    dice = random.Random(7)
    pairs = list(itertools.product(PRE, repeat=2))
    some = [*pairs, *(tuple(dice.choices(PRE, k=3)) for _ in pairs)]
    parts = zip(itertools.cycle(MODELS), some, itertools.cycle(POST), strict=False)
    refused = hold_or_refuse(parts)
    assert 0.2 < np.mean(refused) < 0.5 and len(refused) == 2 * len(PRE) ** 2

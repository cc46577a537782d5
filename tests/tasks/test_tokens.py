"""The characters of tokens (design, statements 1 and 5): texts of every kind, and tokenizers built of all parts that the library has."""

import itertools
import random
import sys
from types import SimpleNamespace
from unicodedata import category

import numpy as np
import pytest
from conftest import TEXTS, albert, byte_level, cased, deberta
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AlbertTokenizer

from mtdnn_kit.errors import EncoderError
from mtdnn_kit.tasks import tokens
from mtdnn_kit.tasks.spans import token_spans
from mtdnn_kit.tasks.tokens import Tokens, check_tokenizer, token_ids, tokenize

P, Q = pre_tokenizers, processors


def tokens_of(tokenizer, text: str) -> Tokens:
    return tokenize(tokenizer, [text])[0]


def pieces_of(tokenizer, text: str) -> list[str]:
    """The characters of each token that has any."""
    found = tokens_of(tokenizer, text)
    return [text[a:b] for a, b in zip(found.starts, found.ends, strict=True) if a < b]


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_5_token_characters_are_those_of_the_text(any_tokenizer, text):
    """In order, within the text, without white space at their ends, and every letter is in one; a lone one that the normalizer drops is not."""
    found = tokens_of(any_tokenizer, text)
    pieces = [text[a:b] for a, b in zip(found.starts, found.ends, strict=True)]
    held = found.ends > found.starts
    assert all(piece == piece.strip() for piece in pieces)
    assert (np.diff(found.starts[held]) >= 0).all() and (found.starts >= 0).all() and (found.ends <= len(text)).all()
    covered = {i for a, b in zip(found.starts.tolist(), found.ends.tolist(), strict=True) for i in range(a, b)}
    for i in {i for i, letter in enumerate(text) if not letter.isspace() and category(letter)[0] != "C"} - covered:
        assert not {i - 1, i + 1} & covered and not any_tokenizer.backend_tokenizer.normalizer.normalize_str(text[i]).strip()


@given(TEXTS)
@settings(max_examples=100, deadline=None)
def test_5_a_wordpiece_is_what_its_characters_say(tokenizer, text):
    found = tokens_of(tokenizer, text)
    for a, b, i in zip(found.starts, found.ends, found.ids.tolist(), strict=True):
        word = tokenizer.convert_ids_to_tokens(i).removeprefix("##")
        if word not in tokenizer.all_special_tokens and text[a:b].isascii():
            assert "".join(letter for letter in text[a:b].lower() if letter.isprintable()) == word, "but for what the tokenizer drops"


def plain_tokens(tokenizer, text: str) -> list[tuple[int, int, int]]:
    """(id, start, end) of a text's tokens by the tokenizer's own call, white space taken off one character at a time; a piece that
    stands for a space before a word has no character; a letter that no token has goes to the one before it, or else to the one after it."""
    coded, found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False), []
    for token, (start, end) in zip(coded["input_ids"], coded["offset_mapping"], strict=True):
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        found.append((token, start, end))
    mark = tokenizer.convert_tokens_to_ids("▁")
    for place, (one, two) in enumerate(itertools.pairwise(found)):
        if one[0] == mark and one[1] == two[1] and mark != tokenizer.unk_token_id:
            found[place] = (one[0], one[1], one[1])
    for i, letter in enumerate(text):
        if not letter.isspace() and category(letter)[0] != "C" and not any(a <= i < b for _, a, b in found):
            double = isinstance(tokenizer, AlbertTokenizer) and text[i : i + 2] in ("``", "''")
            if not double and any(a < b == i for _, a, b in found):
                found = [(token, a, b + (a < b == i)) for token, a, b in found]
            else:  # what lies between it and the next one comes with it
                following = min((a for _, a, b in found if i < a < b), default=-1)
                whole = all(not x.isspace() and category(x)[0] != "C" for x in text[i:following])
                found = [(token, i if a == following and a < b and whole else a, b) for token, a, b in found]
    return found


@given(st.lists(st.one_of(st.just(""), TEXTS), max_size=5))
@settings(max_examples=150, deadline=None)
def test_texts_tokenised_together_are_those_of_the_plain_definition(any_tokenizer, texts):
    made = tokenize(any_tokenizer, texts)
    found = [list(zip(*(part.tolist() for part in one), strict=True)) for one in made]
    assert found == [plain_tokens(any_tokenizer, text) for text in texts]
    assert token_ids(any_tokenizer, texts) == [one.ids.tolist() for one in made] and len(made) == len(texts)


def test_what_the_tokenizer_was_last_told_changes_nothing_and_it_stays_as_it_was(any_tokenizer):
    text = "Where does the Rhine rise? " * 30
    before = tokens_of(any_tokenizer, text)
    any_tokenizer(text, truncation=True, max_length=5, padding="max_length")
    told = any_tokenizer.backend_tokenizer.to_str()
    assert tokens_of(any_tokenizer, text).ids.tolist() == before.ids.tolist() and len(before.ids) > 100
    assert token_ids(any_tokenizer, [text, "a"])[0] == before.ids.tolist()
    assert any_tokenizer.backend_tokenizer.to_str() == told and '"max_length":5' in told.replace(" ", "")


def test_tokens_that_were_added_are_found_as_by_the_tokenizer():
    tokenizer = cased()
    tokenizer.add_tokens(["Graubünden", "q7"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<far>"]})
    text = "Graubünden <far> q7 [SEP] q8"
    for kept in (False, True):
        tokenizer.backend_tokenizer.encode_special_tokens = kept
        own = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        assert tokens_of(tokenizer, text).ids.tolist() == own.ids and pieces_of(tokenizer, text)[0] == "Graubünden"


def test_no_white_space_lies_beyond_the_table():
    assert [i for i in range(sys.maxunicode + 1) if chr(i).isspace()] == tokens.SPACES.tolist()


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
KINDS = {  # every pre-tokenizer of the library; those that throw letters away come after the others
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
WORDS = ["The Rhine rises.", "  the  Rhine, (rises)\tin\nthe Alps; 1973", "in 東京 and 한국 🌍 🇩🇪", "שלום مرحبا สวัสดี नमस्ते", "a|b x\x00y _ ▁e\u0301lan"]
WORDS += ["the-Rhine's", "\u00a0x\u3000yet", "R"]


@pytest.mark.parametrize(("module", "base", "kinds"), [(P, P.PreTokenizer, KINDS), (Q, Q.PostProcessor, POST_KINDS)])
def test_every_part_that_the_library_has_is_among_those_built_here(module, base, kinds):
    there = {name for name, value in vars(module).items() if isinstance(value, type) and issubclass(value, base) and value is not base}
    assert there == {*kinds, "Sequence"}


def built(model: str, parts: tuple, post=None) -> SimpleNamespace:
    made = Tokenizer(MODELS[model])
    made.pre_tokenizer = parts[0] if len(parts) == 1 else P.Sequence(list(parts))
    made.post_processor = post
    return SimpleNamespace(backend_tokenizer=made)


def thrown_away(tokenizer: SimpleNamespace) -> set[str]:
    """Letters of WORDS in no token of a tokenizer without a post-processor."""
    found = set()
    for text in WORDS:
        offsets = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).offsets
        held = {i for start, end in offsets for i in range(start, end)}
        found |= {letter for i, letter in enumerate(text) if i not in held and not letter.isspace() and letter != "\0"}
    return found


def check_words(made: tokens.TokenList, names: list[str]) -> None:
    """Each word comes back as the smallest token span that covers it, exact where both ends are tokens' ends (statement 1)."""
    for number, text in enumerate(WORDS):
        found, at = made[number], 0
        starts, ends = (part[found.ends > found.starts] for part in found[1:])
        for word in text.split():
            start = text.index(word, at)
            end = at = start + len(word)
            (i, j), = token_spans(made, np.array([number]), np.array([[start, end]])).tolist()
            said = found.starts[i], found.ends[j]
            assert said[0] <= start and said[1] >= end, (text, word)
            assert said == (starts[starts <= start].max(), ends[ends >= end].min())
            assert said == (start, end) or start not in starts or end not in ends
            assert names[found.ids[i]] not in ("▁", "_", "Ġ") or text[start] in "▁_", "a space put before a word is no part of it"


def hold_or_refuse(combinations) -> list[bool]:
    """Which of (model, parts, post-processor) are refused, having looked at them all."""
    refused = []
    for model, parts, post in combinations:
        lost, tokenizer = thrown_away(built(model, parts)), built(model, parts, post)
        refused.append(bool(lost))
        if lost:
            with pytest.raises(EncoderError, match="in no token, so that answers would lose it: its pre-tokenizer removes it"):
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
    """Each pair, and as many of the triples, with a model and a post-processor that go round."""
    dice = random.Random(7)
    pairs = list(itertools.product(PRE, repeat=2))
    some = [*pairs, *(tuple(dice.choices(PRE, k=3)) for _ in pairs)]
    parts = zip(itertools.cycle(MODELS), some, itertools.cycle(POST), strict=False)
    refused = hold_or_refuse(parts)
    assert 0.2 < np.mean(refused) < 0.5 and len(refused) == 2 * len(PRE) ** 2

"""The characters of tokens (design, statements 1 and 5): texts of every kind, and tokenizers with every component of the library."""

import itertools
import json
import re
import sys
from types import SimpleNamespace
from unicodedata import category

import numpy as np
import pytest
import transformers
from conftest import TEXTS, byte_level, cased, pieces
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_pre_tokenizers import built
from tokenizers import Tokenizer, models, normalizers
from tokenizers import pre_tokenizers as P
from tokenizers import processors as Q

from mtdnn_kit.errors import EncoderError
from mtdnn_kit.tasks import tokens
from mtdnn_kit.tasks.spans import token_spans
from mtdnn_kit.tasks.tokens import Tokens, check_tokenizer, token_ids, tokenize


def tokens_of(tokenizer, text: str) -> Tokens:
    return tokenize(tokenizer, [text])[0]


def pieces_of(tokenizer, text: str) -> list[str]:
    """The characters of each token that is not empty."""
    found = tokens_of(tokenizer, text)
    return [text[a:b] for a, b in zip(found.starts, found.ends, strict=True) if a < b]


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_5_token_characters_are_characters_of_the_text(any_tokenizer, text):
    """In order, within the text and without white space at their ends; every letter is in a token, except a single one that the
    tokenizer drops."""
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
def test_5_a_wordpiece_matches_its_characters(tokenizer, text):
    found = tokens_of(tokenizer, text)
    for a, b, i in zip(found.starts, found.ends, found.ids.tolist(), strict=True):
        word = tokenizer.convert_ids_to_tokens(i).removeprefix("##")
        if word not in tokenizer.all_special_tokens and text[a:b].isascii():
            assert "".join(letter for letter in text[a:b].lower() if letter.isprintable()) == word, "except what the tokenizer drops"


def plain_tokens(tokenizer, text: str) -> list[tuple[int, int, int]]:
    """(id, start, end) of a text's tokens, from the tokenizer's offsets with white space stripped one character at a time. A piece that
    stands for a space before a word is empty. A letter in no token goes to the token before it, or else to the one after it."""
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
            double = isinstance(tokenizer, transformers.AlbertTokenizer) and text[i : i + 2] in ("``", "''")
            if not double and any(a < b == i for _, a, b in found):
                found = [(token, a, b + (a < b == i)) for token, a, b in found]
            else:  # along with the letters between it and the next token
                following = min((a for _, a, b in found if i < a < b), default=-1)
                whole = all(not x.isspace() and category(x)[0] != "C" for x in text[i:following])
                found = [(token, i if a == following and a < b and whole else a, b) for token, a, b in found]
    return found


@given(st.lists(st.one_of(st.just(""), TEXTS), max_size=5))
@example(["t¸t"])
@settings(max_examples=150, deadline=None)
def test_texts_tokenised_together_match_the_plain_definition(any_tokenizer, texts):
    made = tokenize(any_tokenizer, texts)
    found = [list(zip(*(part.tolist() for part in one), strict=True)) for one in made]
    assert found == [plain_tokens(any_tokenizer, text) for text in texts]
    assert token_ids(any_tokenizer, texts) == [one.ids.tolist() for one in made] and len(made) == len(texts)


def test_the_tokenizers_last_settings_have_no_effect_and_are_kept(any_tokenizer):
    text = "Where does the Rhine rise? " * 30
    before = tokens_of(any_tokenizer, text)
    any_tokenizer(text, truncation=True, max_length=5, padding="max_length")
    told = any_tokenizer.backend_tokenizer.to_str()
    assert tokens_of(any_tokenizer, text).ids.tolist() == before.ids.tolist() and len(before.ids) > 100
    assert token_ids(any_tokenizer, [text, "a"])[0] == before.ids.tolist()
    assert any_tokenizer.backend_tokenizer.to_str() == told and '"max_length":5' in told.replace(" ", "")


def test_added_tokens_are_found_as_by_the_tokenizer():
    tokenizer = cased()
    tokenizer.add_tokens(["Graubünden", "q7"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<far>"]})
    text = "Graubünden <far> q7 [SEP] q8"
    for kept in (False, True):
        tokenizer.backend_tokenizer.encode_special_tokens = kept
        own = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        assert tokens_of(tokenizer, text).ids.tolist() == own.ids and pieces_of(tokenizer, text)[0] == "Graubünden"


def test_the_table_has_every_white_space_character():
    assert [i for i in range(sys.maxunicode + 1) if chr(i).isspace()] == tokens.SPACES.tolist()


LOST = {  # tokenizers that drop a letter, and the letter
    "|": lambda: built("BPE", (P.CharDelimiterSplit("|"),)),
    "!": lambda: built("Unigram", (P.Whitespace(), P.Punctuation("removed"))),
    "¡": lambda: SimpleNamespace(backend_tokenizer=Tokenizer(models.BPE({chr(i): i for i in range(32, 127)}, []))),
}


@pytest.mark.parametrize("letter", LOST)
def test_1_a_tokenizer_that_drops_letters_is_refused_with_the_letter(letter):
    with pytest.raises(EncoderError, match=f"^the tokenizer leaves {re.escape(repr(letter))} of .* in no token, so answers would lose it"):
        check_tokenizer(LOST[letter]())


def test_a_text_with_a_dropped_letter_is_refused_with_the_place():
    """A rare letter, which the check of a tokenizer does not try."""
    tokenizer = built("BPE", (P.Split("\u2603", "removed"),))
    check_tokenizer(tokenizer)
    assert pieces_of(tokenizer, "snow") == ["s", "n", "o", "w"]
    with pytest.raises(EncoderError, match="leaves '☃' of 'n the snow stands a ☃, and melts' in no token"):
        tokenize(tokenizer, ["Rain.", "In the snow stands a ☃, and melts"])


def test_a_model_that_fails_on_unknown_letters_is_refused():
    tokenizer = SimpleNamespace(backend_tokenizer=Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0)])))
    with pytest.raises(EncoderError, match="^the tokenizer cannot read every text .*unk"):
        check_tokenizer(tokenizer)


@pytest.mark.parametrize(
    ("parts", "text", "wanted"),
    [
        ([normalizers.NFC()], "cafe\u0301 \u1112\u1161\u11ab", "c a f e\u0301 \u1112\u1161\u11ab"),
        ([normalizers.NFKC()], "ｶﾞ ﬁ", "ｶﾞ ﬁ ﬁ"),
        ([normalizers.NFD(), normalizers.StripAccents()], "é e\u0301\u0323 \u0301a", "é e\u0301\u0323 \u0301a"),
        ([normalizers.Replace("``", '"'), normalizers.Replace("''", '"')], "``a'' b``c", "`` a '' b `` c"),
        ([normalizers.Replace("...", "…")], "a...", "a ..."),
        ([normalizers.BertNormalizer()], "a\x00b\x00 É\ufffd", "a b É\ufffd"),
        ([normalizers.Replace("\u0640", "")], "\u0643\u0640\u0628\u0640 \u0640", "\u0643\u0640 \u0628\u0640"),
        ([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")], "ab c", "a b c"),
    ],
)
def test_letters_that_the_normalizer_drops_or_merges_belong_to_an_adjacent_token(parts, text, wanted):
    """A combining mark goes to the letter before it, and letters that merge go together; a control character belongs to no token."""
    tokenizer = built("BPE", (P.WhitespaceSplit(),))
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(parts)
    assert pieces_of(tokenizer, text) == wanted.split()


ENGLISH = ["Where does the Rhine rise?", "It rises in the Swiss Alps, near Sedrun; some 1,230 km."]


def robbert(trim: bool):
    """A RoBERTa that splits words before its byte-level step, like RobBERT."""
    tokenizer = byte_level(("<s>", "</s>", "<pad>", "<unk>"))
    tokenizer.backend_tokenizer.pre_tokenizer = P.Sequence([P.Whitespace(), P.ByteLevel(add_prefix_space=True)])
    tokenizer.backend_tokenizer.post_processor = Q.RobertaProcessing(("</s>", 1), ("<s>", 0), trim, False)
    return tokenizer


@pytest.mark.parametrize("trim", [False, True])
def test_1_no_word_loses_its_first_letter_to_the_tokenizers_trimming(trim):
    """This happened with a RobBERT: the answer "Rhine" became "hine"."""
    tokenizer = robbert(trim)
    own = tokenizer(ENGLISH[0], add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert ("R" not in "".join(ENGLISH[0][a:b] for a, b in own)) == trim
    check_tokenizer(tokenizer)
    assert "".join(pieces_of(tokenizer, ENGLISH[0])) == "WheredoestheRhinerise?"


def words() -> dict[str, int]:
    return cased().get_vocab()


def roberta(kind: str, **more):
    """A byte-level tokenizer of a transformers class."""
    made = byte_level(("<s>", "</s>", "<pad>", "<unk>")).backend_tokenizer
    model = json.loads(made.to_str())["model"]
    return getattr(transformers, kind)(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], **more)


SPECIAL = ["<pad>", "<unk>", "<s>", "</s>", "[CLS]", "[SEP]", "[MASK]", "<mask>"]
COMMON = {
    **{
        name: lambda name=name: getattr(transformers, name)(vocab=words())
        for name in ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MPNetTokenizer")
    },
    **{name: lambda name=name: roberta(name) for name in ("RobertaTokenizer", "DebertaTokenizer", "LongformerTokenizer")},
    "RobertaTokenizer, spaced": lambda: roberta("RobertaTokenizer", add_prefix_space=True),
    **{
        name: lambda name=name: getattr(transformers, name)(vocab=pieces(SPECIAL))
        for name in (
            "AlbertTokenizer",
            "BigBirdTokenizer",
            "CamembertTokenizer",
            "DebertaV2Tokenizer",
            "RemBertTokenizer",
            "XLMRobertaTokenizer",
            "XLNetTokenizer",
        )
    },
}


@pytest.mark.parametrize("name", COMMON)
def test_1_the_common_tokenizers_are_accepted_and_find_each_of_their_words(name):
    tokenizer = COMMON[name]()
    check_tokenizer(tokenizer)
    made = tokenize(tokenizer, ENGLISH)
    for number, text in enumerate(ENGLISH):
        assert "".join(pieces_of(tokenizer, text)) == text.replace(" ", "")
        for word in re.findall(r"\w+", text):
            start = text.index(word)
            ((i, j),) = token_spans(made, np.array([number]), np.array([[start, start + len(word)]])).tolist()
            assert text[made[number].starts[i] : made[number].ends[j]] == word

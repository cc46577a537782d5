"""Gradient × input equals finite differences, for every token and encoder family; the model stays unchanged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_asking import PASSAGE, QUESTION, model_of

from mtdnn_kit.inference.asking import ask, features
from mtdnn_kit.inference.salience import salience

STEP = 1e-3


@pytest.fixture(params=["bert", "distilbert", "roberta", "modernbert"])
def model(request, families):
    made = model_of(families[request.param])
    made.net.double()
    return made


def source(model):
    """The module whose output is scaled: the word embeddings. ModernBERT normalises these, which would undo a scale: there, the result."""
    encoder = model.net.encoder
    return encoder.embeddings if encoder.config.model_type == "modernbert" else encoder.get_input_embeddings()


def scores(model, item: int, question: str, context: str, first: int, last: int, scale: np.ndarray) -> float:
    """Start logit at `first` + end logit at `last` of a window whose word embeddings are scaled per token by `scale` [T]."""
    windows, factor = features(model, question, context), torch.tensor(scale)[None, :, None]
    hook = source(model).register_forward_hook(lambda module, args, out: out * factor)
    with torch.inference_mode():
        logits = model.net(model.task, windows.collate(np.array([item])).inputs)[0]
    hook.remove()
    return float(logits[first, 0] + logits[last, 1])


def derivative(model, item: int, question: str, context: str, first: int, last: int, tokens: int, i: int) -> float:
    """d score / dα at α = 1, where α scales token i's embedding: gradient · input, by fourth-order central differences."""

    def off(steps: int) -> float:
        return scores(model, item, question, context, first, last, 1 + steps * STEP * (np.arange(tokens) == i))

    return (8 * (off(1) - off(-1)) - (off(2) - off(-2))) / (12 * STEP)


def span_of(passage: str, words: str) -> tuple[int, int]:
    return passage.index(words), passage.index(words) + len(words)


def position(found, part: str, start: int | None = None, end: int | None = None) -> int:
    return next(i for i, w in enumerate(found) if w.part == part and w.text and (start in (None, w.start)) and (end in (None, w.end)))


@pytest.mark.parametrize("words", ["Swiss canton", ""])
def test_each_value_equals_finite_differences(model, words):
    passage = "In the Alps, in the Swiss canton."
    span = span_of(passage, words) if words else (0, 0)
    found = salience(model, "Where?", passage, span)
    first, last = (position(found, "context", span[0]), position(found, "context", None, span[1])) if words else (0, 0)
    wanted = [derivative(model, 0, "Where?", passage, first, last, len(found), i) for i in range(len(found))]
    assert np.median(np.abs(wanted)) > 1e-5
    assert [w.value for w in found] == pytest.approx(wanted, rel=1e-4, abs=1e-8)


def test_every_token_of_the_window_has_its_text_and_part(model):
    passage = "In the Alps, 🌍 in the Swiss canton."
    found = salience(model, "Where is it?", passage)
    ids = features(model, "Where is it?", passage).collate(np.array([0])).inputs["input_ids"][0].tolist()
    special = [i for i, w in enumerate(found) if w.part == "special"]
    assert len(found) == len(ids) and [found[i].text for i in special] == model.tokenizer.convert_ids_to_tokens([ids[i] for i in special])
    assert special[0] == 0 and len(found) - 1 in special
    texts = {"question": "Where is it?", "context": passage}
    assert all(texts[w.part][w.start : w.end] == w.text for w in found if w.part != "special")
    for part, text in texts.items():
        covered = {i for w in found if w.part == part for i in range(w.start, w.end)}
        assert covered == {i for i, c in enumerate(text) if not c.isspace()}


def test_the_default_span_is_the_models_answer(model):
    spanned = ask(model, QUESTION, PASSAGE, threshold=1e9)
    answers, silent = replace(model, thresholds={"squad": 1e9}), replace(model, thresholds={"squad": -1e9})
    assert salience(answers, QUESTION, PASSAGE) == salience(model, QUESTION, PASSAGE, (spanned.start, spanned.end))
    assert salience(silent, QUESTION, PASSAGE) == salience(model, QUESTION, PASSAGE, (0, 0))
    assert salience(silent, QUESTION, PASSAGE) != salience(answers, QUESTION, PASSAGE)


def test_of_several_windows_the_one_behind_the_score_is_explained(model):
    """Scores of each window by hand: the highest of the best answer, the lowest of no answer."""
    passage = f"{PASSAGE} {PASSAGE[::-1]} {PASSAGE}"
    windows = features(model, QUESTION, passage)
    assert len(windows.table) > 2
    with torch.inference_mode():
        logits = [model.net("squad", windows.collate(np.array([i])).inputs)[0].numpy() for i in range(len(windows.table))]
    nothing = int(np.argmin([x[0].sum() for x in logits]))
    said = ask(model, QUESTION, passage, threshold=1e9)
    places = []  # (score, window, first, last) of every token pair that spans the answer's characters
    for w, x in enumerate(logits):
        tokens, shift = windows.window(w), windows.first(w)
        for i in np.flatnonzero((tokens.starts == said.start) & (tokens.ends > tokens.starts)):
            for j in np.flatnonzero((tokens.ends == said.end) & (tokens.ends > tokens.starts)):
                places += [(x[i + shift, 0] + x[j + shift, 1], w, int(i) + shift, int(j) + shift)] if i <= j else []
    _, window, first, last = max(places)
    for span, item, a, b in (((0, 0), nothing, 0, 0), ((said.start, said.end), window, first, last)):
        found = salience(model, QUESTION, passage, span)
        tokens = windows.window(item)
        assert [(w.start, w.end) for w in found if w.part == "context"] == list(zip(tokens.starts, tokens.ends, strict=True))
        for i in np.linspace(0, len(found) - 1, 5).astype(int):
            wanted = derivative(model, item, QUESTION, passage, a, b, len(found), i)
            assert found[i].value == pytest.approx(wanted, rel=1e-4, abs=1e-8)


def test_the_model_is_left_unchanged(model):
    for frozen, p in enumerate(model.net.parameters()):
        p.requires_grad_(frozen % 2 == 0)
    before = [(p.requires_grad, p.detach().clone()) for p in model.net.parameters()]
    hooks = dict(source(model)._forward_hooks)
    with torch.no_grad():
        salience(model, QUESTION, PASSAGE)
    assert not model.net.training and source(model)._forward_hooks == hooks
    for (grad, value), p in zip(before, model.net.parameters(), strict=True):
        assert p.grad is None and p.requires_grad == grad and torch.equal(p, value)
    with pytest.raises(ValueError, match="span: no window holds all characters 500 to 510"):
        salience(model, QUESTION, PASSAGE, (500, 510))
    assert source(model)._forward_hooks == hooks


def test_a_span_within_a_word_extends_to_the_tokens_that_cover_it(families):
    bert, passage = model_of(families["bert"]), "In the Alps, in the Swiss canton."
    inside, whole = (salience(bert, "Where?", passage, span_of(passage, words)) for words in ("wis", "Swiss"))
    assert inside == whole != salience(bert, "Where?", passage, span_of(passage, "canton"))

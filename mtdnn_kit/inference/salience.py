"""Which tokens the score of an answer depends on: gradient × input over the tokens of its window.

Knows a model (`asking`) and an answer to explain; no widget and no HTML. Shapes: T positions of a window.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from mtdnn_kit.inference.asking import Model, answer, features, window_logits
from mtdnn_kit.tasks.qa import Features
from mtdnn_kit.tasks.spans import NULL
from mtdnn_kit.tasks.tokens import Tokens, tokenize


class Weight(NamedTuple):
    """A token's contribution to a score (`salience`): its text, its part ("special", "question" or "context"), its characters [start, end)
    there (0, 0 for a special token), and the signed value."""

    text: str
    part: str
    start: int
    end: int
    value: float


def salience(model: Model, question: str, context: str, span: tuple[int, int] | None = None) -> list[Weight]:
    """Gradient × input: each token's first-order contribution to the score of an answer (Shrikumar et al. 2016; Li et al. 2016).

    The score is start logit + end logit of the span's first and last token, or of [CLS] for no answer; its gradient with respect to the
    word embeddings (`embedding`) times these, summed over the hidden dimension, is one signed value per token. Computed in fp32, whatever
    the run's precision. span: characters [start, end) of the passage; an empty one for no answer; None: the model's answer at its
    threshold. With several windows, returns the tokens of the window that the score comes from: the highest for a span, the lowest for no
    answer. Raises ValueError if no window holds the span.
    """
    windows = features(model, question, context)
    logits = window_logits(model, windows)
    if span is None:
        said = answer(model, question, context)
        span = said.spans[0][:2] if said.text(context, model.threshold) else (0, 0)
    item, first, last = _place(windows, logits, span, model.config.max_answer)
    values = _gradient_input(model, windows, item, first, last)
    return [Weight(*token, value) for token, value in zip(_named(model, windows, item), values, strict=True)]


def embedding(encoder: nn.Module) -> nn.Module:
    """The module whose output [B, T, H] counts as the input: the word embeddings; if they are normalised without adding anything before
    (ModernBERT, DeBERTa-v3), the normalised ones, because normalisation discards the embedding's length, and so gradient · input.
    """
    layer = getattr(encoder, "embeddings", None)
    added = any(getattr(layer, name, None) is not None for name in ("position_embeddings", "token_type_embeddings"))
    return encoder.get_input_embeddings() if layer is None or added else layer


def _gradient_input(model: Model, windows: Features, item: int, first: int, last: int) -> list[float]:
    """Gradient × input of start logit at position `first` + end logit at `last`, one value per position of the window `item`."""
    held, device = [], next(model.net.parameters()).device

    def watch(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> torch.Tensor:
        held.append(output.detach().requires_grad_())
        return held[-1]

    training = model.net.training
    hook = embedding(model.net.eval().encoder).register_forward_hook(watch)
    try:
        with torch.enable_grad():
            logits = model.net(model.task, {name: x.to(device) for name, x in windows.collate(np.array([item])).inputs.items()})
            (gradient,) = torch.autograd.grad(logits[0, first, 0] + logits[0, last, 1], held)
    finally:
        hook.remove()
        model.net.train(training)
    return (gradient * held[0].detach()).sum(dim=-1)[0].tolist()


def _place(windows: Features, logits: list[np.ndarray], span: tuple[int, int], max_answer: int) -> tuple[int, int, int]:
    """The window and positions that the score of a span comes from: the highest score for a span, the lowest for no answer."""
    if span[0] == span[1]:
        return int(np.argmin([x[NULL].sum(dtype=np.float32) for x in logits])), NULL, NULL
    tokens, found = windows.contexts[windows.rows[0].context], []
    pairs = _pairs(tokens, span, max_answer)
    for item, (_, a, b) in enumerate(windows.table[:, :3].tolist()):
        shift, x = windows.first(item) - a, logits[item]
        found += [(x[i + shift, 0] + x[j + shift, 1], -item, i + shift, j + shift) for i, j in pairs if a <= i and j < b]
    if not found:
        raise ValueError(f"span: no window holds all characters {span[0]} to {span[1]} of the passage; give a shorter span")
    _, item, first, last = max(found)
    return -item, first, last


def _pairs(tokens: Tokens, span: tuple[int, int], max_answer: int) -> list[tuple[int, int]]:
    """First and last tokens with exactly these characters (several pairs if tokens share a character), else those that cover them."""
    real = tokens.ends > tokens.starts
    firsts, lasts = np.flatnonzero(real & (tokens.starts == span[0])), np.flatnonzero(real & (tokens.ends == span[1]))
    exact = [(int(i), int(j)) for i in firsts for j in lasts if i <= j < i + max_answer]
    cover = np.flatnonzero(real & (tokens.ends > span[0]) & (tokens.starts < span[1]))
    return exact or ([(int(cover[0]), int(cover[-1]))] if len(cover) else [])


def _named(model: Model, windows: Features, item: int) -> list[tuple[str, str, int, int]]:
    """Text, part and characters of each position of a window."""
    row, frame, asked = windows.rows[0], windows.frame, windows.questions[0]

    def special(ids: list[int]) -> list[tuple[str, str, int, int]]:
        return [(name, "special", 0, 0) for name in model.tokenizer.convert_ids_to_tokens(ids)]

    def cut(part: str, text: str, tokens: Tokens) -> list[tuple[str, str, int, int]]:
        return [(text[a:b], part, a, b) for a, b in zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)]

    question = cut("question", row.question, tokenize(model.tokenizer, [row.question])[0])[: len(asked)]
    context = cut("context", row.context, windows.window(item))
    return [*special(frame.prefix), *question, *special(frame.middle), *context, *special(frame.suffix)]

"""MT-DNN's head for pairs of sentences, a stochastic answer network (Liu et al. 2019, section 3; Liu et al. 2018), as a task type.

It differs from `sc` only in its head: several steps of reasoning over the first text, each with an answer, whose mean is the output. Rows,
tokens, loss and scores are those of sc. Importing the file registers it: `define: {mnli-san: {type: san, columns: {…}, labels: […], …}}`.
"""

import sys

import torch
from torch import Tensor, nn

from mtdnn_kit import tasks
from mtdnn_kit.data import registry, rows
from mtdnn_kit.errors import EncoderError
from mtdnn_kit.model.multitask import takes_token_types
from mtdnn_kit.tasks.sc import SETTINGS, Reader, encode, features, loss, scores

KIND, Row, parse = registry.KINDS["sc"], rows.SCRow, rows.PARSERS["sc"]
STEPS = 5  # T of the paper
__all__ = ["HEAD", "KIND", "SETTINGS", "Reader", "Row", "encode", "features", "loss", "parse", "scores"]


class StochasticAnswer(nn.Module):
    """s₀ = Σ α M₂, α = softmax(w₁·M₂);  xₜ = Σ β M₁, β = softmax(sₜ₋₁ W₂ M₁);  sₜ = GRU(sₜ₋₁, xₜ)
    pₜ = softmax(W₃ [sₜ; xₜ; |sₜ − xₜ|; sₜ · xₜ]);  p = mean of pₜ over T steps, in training over those that dropout leaves.

    M₁, M₂: the encoder's states of the first and the second text's tokens; of a single sentence both are its own.
    """

    def __init__(self, config):
        super().__init__()
        if not takes_token_types(config):
            raise EncoderError("type 'san': its head tells two texts apart by token types, and this encoder has none; take one like BERT")
        size = config.hidden_size
        self.start, self.look, self.cell = nn.Linear(size, 1, bias=False), nn.Linear(size, size, bias=False), nn.GRUCell(size, size)
        self.answer, self.dropout = nn.Linear(4 * size, config.num_labels), nn.Dropout()

    def forward(self, states: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """states [B, T, H] → log p [B, L]."""
        first, second = masks(inputs)
        # [B, H]
        s, answers = attended(self.start(states).squeeze(-1), states, second), []
        for _ in range(STEPS):
            x = attended(torch.einsum("bh,bth->bt", self.look(s), states), states, first)
            s = self.cell(x, s)
            answers.append(self.answer(torch.cat([s, x, (s - x).abs(), s * x], dim=-1)).log_softmax(dim=-1))
        # prediction dropout: a weight for each answer [B, STEPS, 1]; if all are dropped, all are kept
        kept = self.dropout(torch.ones(len(s), STEPS, 1, device=s.device))
        kept = torch.where(kept.sum(1, keepdim=True) > 0, kept, torch.ones_like(kept))
        return (torch.stack(answers, dim=1) + (kept / kept.sum(1, keepdim=True)).log()).logsumexp(dim=1)


def masks(inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Masks [B, T] of the first text's tokens, including [CLS], and of the second's."""
    real, types = inputs["attention_mask"].bool(), inputs["token_type_ids"].bool()
    second = real & types
    return real & ~types, torch.where(second.any(dim=1, keepdim=True), second, real)


def attended(scores_: Tensor, states: Tensor, mask: Tensor) -> Tensor:
    """The mean of states [B, T, H], weighted by softmax of scores [B, T] over the tokens of a mask."""
    return torch.einsum("bt,bth->bh", scores_.masked_fill(~mask, -torch.inf).softmax(dim=-1), states)


HEAD = StochasticAnswer
tasks.register("san", sys.modules[__name__])

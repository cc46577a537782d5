"""Dropout on a CPU: its rate, its random numbers, and attention against torch's."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mtdnn_kit.model.dropout import CACHE, LEVELS, NAME, Dropout, attention, keep
from mtdnn_kit.model.multitask import build_model, takes_whole_masks

pytestmark = pytest.mark.scores
ENCODER = SimpleNamespace(is_causal=False)


@given(st.floats(0.001, 0.999), st.lists(st.integers(1, 9), min_size=1, max_size=3), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_mask_has_zeros_and_ones_and_its_factor_matches_the_rate(p, shape, dtype):
    mask, factor = keep(tuple(shape), p, dtype)
    assert mask.shape == tuple(shape) and mask.dtype == dtype and set(mask.float().unique().tolist()) <= {0.0, 1.0}
    assert 1 - 1 / factor == pytest.approx(p, abs=0.5001 / LEVELS)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9])
def test_the_dropped_share_is_p_at_every_position(p):
    """Also for each of the four numbers drawn from one word; within 5 standard errors."""
    torch.manual_seed(0)
    mask, _ = keep((250_000, 4), p, torch.float32)
    assert (1 - mask.mean(dim=0) - p).abs().max() < 5 * (p * (1 - p) / 250_000) ** 0.5
    covariance = torch.cov(mask.T) - torch.diag(mask.var(dim=0))
    assert covariance.abs().max() < 5 * p * (1 - p) / 250_000**0.5, "neighbours are independent"


def test_15_the_numbers_depend_on_torchs_seed():
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(keep((1000,), 0.3, torch.float32)[0])
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


def test_dropout_keeps_the_mean_and_is_off_in_evaluation():
    torch.manual_seed(0)
    layer, x = Dropout(0.1), torch.ones(400_000, requires_grad=True)
    out = layer(x)
    assert out.mean().item() == pytest.approx(1, abs=3e-3) and sorted(out.unique().tolist()) == pytest.approx([0, 1 / 0.9], rel=1e-4)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach()), "the gradient has the same mask"
    assert torch.equal(layer.eval()(x), x)


def parts(batch: int, length: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(batch, 2, length, 8, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("mask", [None, "bool", "added"])
def test_attention_with_a_rate_that_rounds_to_0_equals_torchs(mask):
    """Outputs and gradients, with the windows in several pieces."""
    batch, length = 3, int((CACHE / 2 / 4 / 2) ** 0.5)  # two windows per piece
    q, k, v = parts(batch, length)
    real = torch.arange(length)[None] < torch.tensor([length, 40, 7])[:, None]
    added = {None: None, "bool": real[:, None, None], "added": torch.zeros(3, 1, 1, length).masked_fill(~real[:, None, None], -1e30)}[mask]
    mine = attention(ENCODER, q, k, v, added, dropout=1e-9, scaling=0.3)[0]
    wanted = nn.functional.scaled_dot_product_attention(q, k, v, added, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)
    for a, b in zip(
        torch.autograd.grad(mine.square().sum(), (q, k, v)), torch.autograd.grad(wanted.square().sum(), (q, k, v)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("padded", [False, True])
def test_bf16_training_without_dropout_computes_attention_in_pieces_with_correct_gradients(padded, monkeypatch):
    """Against torch's attention in fp32, within bf16's eight bits. fp32 and evaluation use torch's attention."""
    length = int((CACHE / 2 / 2 / 2) ** 0.5)  # two windows per piece
    exact = [x.detach().bfloat16().float().requires_grad_() for x in parts(3, length)]
    rounded = [x.detach().bfloat16().requires_grad_() for x in exact]
    mask = (torch.arange(length)[None] < torch.tensor([length, 40, 7])[:, None])[:, None, None] if padded else None
    wanted = nn.functional.scaled_dot_product_attention(*exact, mask, scale=0.3).transpose(1, 2)
    asked = []
    monkeypatch.setattr("mtdnn_kit.model.dropout.sdpa_attention_forward", lambda *_, **__: asked.append(1) or (wanted, None))
    mine = attention(ENCODER, *rounded, mask, scaling=0.3)[0]
    assert mine.dtype == torch.bfloat16 and not asked
    torch.testing.assert_close(mine.float(), wanted, rtol=0.02, atol=0.02)
    gradients = (torch.autograd.grad(out.float().square().sum(), given) for out, given in ((mine, rounded), (wanted, exact)))
    for a, b in zip(*gradients, strict=True):
        assert (a.float() - b).norm() < 0.02 * b.norm()
    attention(ENCODER, *exact, mask, scaling=0.3)
    attention(ENCODER, *(x.detach() for x in rounded), mask, scaling=0.3)
    assert len(asked) == 2


def test_attention_drops_weights_and_keeps_their_mean():
    q, k, v = (x.detach() for x in parts(1, 16))
    torch.manual_seed(1)
    mean = torch.stack([attention(ENCODER, q, k, v, None, dropout=0.3)[0] for _ in range(4000)]).mean(dim=0)
    assert not torch.equal(attention(ENCODER, q, k, v, None, dropout=0.3)[0], attention(ENCODER, q, k, v, None, dropout=0.3)[0])
    torch.testing.assert_close(mean, attention(ENCODER, q, k, v, None)[0], rtol=0, atol=0.05)


def test_a_decoders_attention_ignores_later_tokens():
    q, k, v = parts(1, 6)
    out = attention(SimpleNamespace(is_causal=True), q, k, v, None, dropout=0.1)[0]
    assert not torch.autograd.grad(out[:, 2].sum(), v)[0][:, :, 3:].any()


def test_a_fully_masked_row_gives_no_nan():
    q, k, v = parts(1, 4)
    out = attention(ENCODER, q, k, v, torch.zeros(1, 1, 4, 4, dtype=torch.bool), dropout=0.1)[0]
    assert out.isfinite().all() and all(g.isfinite().all() for g in torch.autograd.grad(out.sum(), (q, k, v)))


def test_the_encoder_uses_it_but_its_saved_config_does_not_name_it(tiny, tmp_path):
    model = build_model(Path(tiny), {"cola": {"type": "sc", "labels": 2, "names": ["a", "b"]}}, 0.1, 0.3, 64, 0)
    assert model.encoder.config._attn_implementation == NAME and takes_whole_masks(model.encoder.config)
    assert not any(type(m) is nn.Dropout for m in model.modules()) and any(type(m) is Dropout for m in model.modules())
    model.encoder.config.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()


def test_under_autocast_the_encoders_hidden_states_are_bf16(tiny):
    model = build_model(Path(tiny), {"cola": {"type": "sc", "labels": 2, "names": ["a", "b"]}}, 0.1, 0.3, 64, 0)
    ids = {"input_ids": torch.ones(2, 5, dtype=torch.int64), "attention_mask": torch.ones(2, 5, dtype=torch.int64)}
    with torch.autocast("cpu", torch.bfloat16):
        assert model.encoder(**ids).last_hidden_state.dtype == torch.bfloat16
    assert model.encoder(**ids).last_hidden_state.dtype == torch.float32

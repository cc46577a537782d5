"""Optimizers and the learning rate (paper, "Settings"; design, statement 11)."""

import math

import pytest
import torch
from torch import nn

from mtdnn_kit.training import optim

pytestmark = pytest.mark.scores


def two_layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2)).double()


def step(model: nn.Module, optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    model(torch.randn(5, 4).double()).pow(2).sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_adamax_without_decay_equals_torchs():
    ours, theirs = two_layers(), two_layers()
    a = optim.Adamax(ours.parameters(), 0.01)
    b = torch.optim.Adamax(theirs.parameters(), 0.01)
    for seed in range(20):
        step(ours, a, seed), step(theirs, b, seed)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-12, atol=1e-14)


def test_adamax_in_pieces_equals_adamax(monkeypatch):
    """A parameter is updated one piece at a time, whatever the size of pieces and whether it is contiguous in memory."""
    whole, cut, turned = two_layers(), two_layers(), two_layers()
    turned[0].weight.data = turned[0].weight.data.T.contiguous().T
    for model, piece in ((whole, 10**6), (cut, 5), (turned, 5)):
        monkeypatch.setattr(optim, "PIECE", piece)
        optimizer = optim.make_optimizer("adamax", model, 0.1, 0.01)
        step(model, optimizer, 0), step(model, optimizer, 1)
    for p, *others in zip(whole.parameters(), cut.parameters(), turned.parameters(), strict=True):
        assert all(torch.allclose(p, q, rtol=1e-12) for q in others)


@pytest.mark.parametrize(("name", "eps", "corrected"), [("adamax", 1e-8, True), ("adamax_mtdnn", 1e-6, False)])
def test_adamax_follows_its_formula(name, eps, corrected):
    model = nn.Linear(1, 1, bias=False).double()
    optimizer = optim.make_optimizer(name, model, 0.1, weight_decay=0.01)
    theta, m, u = model.weight.item(), 0.0, 0.0
    for t, g in enumerate([5e-7, 0.5, -2.0, 0.25, 0.0], 1):
        model.weight.grad = torch.full_like(model.weight, g)
        optimizer.step()
        m, u = 0.9 * m + 0.1 * g, max(0.999 * u, abs(g) + eps)
        theta = theta * (1 - 0.1 * 0.01) - 0.1 / (1 - 0.9**t if corrected else 1) * m / (u if corrected else u + eps)
        assert model.weight.item() == pytest.approx(theta, rel=1e-12)


@pytest.mark.parametrize("name", ["adamax", "adamax_mtdnn", "adamw"])
def test_decay_is_decoupled_and_skips_biases_and_layernorm(name):
    """With a zero gradient only decay changes a weight: by lr · decay · weight."""
    model = two_layers()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = optim.make_optimizer(name, model, 0.1, weight_decay=0.5)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for p, was in zip(model.parameters(), before, strict=True):
        assert torch.allclose(p, was * (0.95 if p.ndim > 1 else 1.0), rtol=1e-12)


@pytest.mark.parametrize("name", ["adamax", "adamax_mtdnn", "adamw"])
def test_11_a_parameter_without_a_gradient_does_not_change(name):
    model = two_layers()
    optimizer = optim.make_optimizer(name, model, 0.1, weight_decay=0.5)
    step(model, optimizer, 0)
    first = [model[0].weight.detach().clone(), {k: torch.as_tensor(v).clone() for k, v in optimizer.state[model[0].weight].items()}]
    for p in model[2].parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert torch.equal(model[0].weight, first[0])
    assert all(torch.equal(torch.as_tensor(optimizer.state[model[0].weight][k]), v) for k, v in first[1].items())


def test_clipping_jointly_or_per_parameter():
    model = two_layers()

    def gradients() -> list[torch.Tensor]:
        for p in model.parameters():
            p.grad = torch.full_like(p, 2.0)
        return list(model.parameters())

    total = math.sqrt(sum(4 * p.numel() for p in model.parameters()))
    assert optim.clip_gradients(gradients(), 1.0, each=False).item() == pytest.approx(total)
    assert torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item() == pytest.approx(1.0, rel=1e-5)
    assert optim.clip_gradients(gradients(), 1.0, each=True).item() == pytest.approx(total)
    assert all(p.grad.norm().item() == pytest.approx(1.0, rel=1e-5) for p in model.parameters())


def test_a_mapping_names_the_norms_that_are_not_1():
    assert [optim.norm_of("swag", norm) for norm in (0.3, {"swag": 0.2, "cola": 5.0}, {"cola": 5.0}, {})] == [0.3, 0.2, 1.0, 1.0]


def test_the_rate_rises_to_the_peak_and_falls_to_the_last_step():
    rates = [optim.learning_rate(k, 100, 0.1, 3e-5) for k in range(100)]
    assert rates[0] == pytest.approx(3e-6) and rates[9] == pytest.approx(3e-5) == pytest.approx(max(rates))
    assert rates[10] == pytest.approx(3e-5) and rates[-1] == pytest.approx(3e-5 / 90)
    assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert optim.learning_rate(0, 5, 0.0, 1.0) == 1.0 and optim.learning_rate(0, 1, 0.1, 1.0) == 1.0


@pytest.mark.parametrize("name", ["adamax", "adamw"])
def test_10_the_state_is_restored_bit_for_bit(name):
    model, other = two_layers(), two_layers()
    optimizer = optim.make_optimizer(name, model, 0.1, 0.01)
    step(model, optimizer, 0), step(model, optimizer, 1)
    other.load_state_dict(model.state_dict())
    again = optim.make_optimizer(name, other, 0.1, 0.01)
    optim.load_state_tensors(again, other, optim.state_tensors(optimizer, model))
    step(model, optimizer, 2), step(other, again, 2)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), other.parameters(), strict=True))

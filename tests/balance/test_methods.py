"""Each method against a second implementation of its published algorithm (`published`), and what its paper promises.

There are a thousand sets of two to five gradients, one fifth each: random, conflicting, collinear, of sizes from 2⁻²⁰ to 2²⁰, and with one
zero. The combined gradients are compared, since the weights of collinear ones are not unique; errors are relative to Σ |wₖ| ‖gₖ‖.
"""

import numpy as np
import published
import pytest
import torch
from numpy.random import default_rng

from mtdnn_kit.balance.gradients import BETA, GRADIENTS
from mtdnn_kit.balance.losses import LOSSES, RATE, dwa_after_epoch, famo_after, numbers, seeded
from mtdnn_kit.config import BALANCES

KINDS = ("any", "conflicting", "collinear", "scaled", "zero")


def some(kind: str, rng, k: int) -> np.ndarray:
    """Gradients [K, 8] of a kind."""
    g = rng.standard_normal((k, 8))
    if kind == "conflicting":
        g[1:] = -g[0] + 0.7 * g[1:]
    if kind == "collinear":  # powers of two: exactly so
        g[-1] = g[0] * rng.choice([-4.0, -0.5, 0.25, 2.0])
    if kind == "scaled":
        g *= 2.0 ** rng.integers(-20, 21, (k, 1))
    if kind == "zero":
        g[rng.integers(k)] = 0
    return g


CASES = [(kind, some(kind, default_rng([n, i]), 2 + n % 4)) for n in range(200) for i, kind in enumerate(KINDS)]


def weights(method: str, g: np.ndarray, state=None, rng=None) -> np.ndarray:
    gram = torch.from_numpy(g @ g.T)
    return GRADIENTS[method](gram, {} if state is None else state, rng or default_rng(0)).numpy()


def error(g: np.ndarray, w: np.ndarray, wanted: np.ndarray) -> float:
    """How far Σ wₖ gₖ is from what is wanted, as a share of Σ |wₖ| ‖gₖ‖."""
    size = np.abs(w) @ np.linalg.norm(g, axis=1) + np.linalg.norm(wanted)
    return float(np.linalg.norm(w @ g - wanted) / size) if size else 0.0


def orders(k: int, rng, others_alone: bool) -> list[list[int]]:
    """The orders that the library draws: of all tasks, or of the others alone."""
    with seeded(rng):
        if others_alone:
            return [[[j for j in range(k) if j != i][n] for n in torch.randperm(k - 1).tolist()] for i in range(k)]
        return [[j for j in torch.randperm(k).tolist() if j != i] for i in range(k)]


# their libraries take some 50 ms a matrix: all thousand in `make soak`
slow_solvers = pytest.mark.parametrize("n", [25, pytest.param(len(CASES), marks=pytest.mark.soak, id="soak")])


def test_the_kits_names_are_these():
    assert (*LOSSES, *GRADIENTS) == BALANCES and all(":" not in name for name in BALANCES)
    for method in (*LOSSES.values(), *GRADIENTS.values()):
        assert "20" in method.__doc__ and "(" in method.__doc__, "a formula and a paper"


def test_pcgrad_with_the_same_orders():
    for n, (_, g) in enumerate(CASES):
        w = weights("pcgrad", g, rng=numbers(0, n))
        assert error(g, w, published.pcgrad(g, orders(len(g), numbers(0, n), False))) < 1e-9


def test_gradvac_with_the_same_orders_and_the_same_memory():
    for first in range(0, len(CASES), 100):
        for k in (2, 3, 4, 5):
            state, targets = {}, np.zeros((k, k))
            for n, (_, g) in enumerate(CASES[first : first + 100]):
                if len(g) == k:
                    w = weights("gradvac", g, state, numbers(1, n))
                    assert error(g, w, published.gradvac(g, orders(k, numbers(1, n), True), targets, BETA)) < 1e-10
            assert np.allclose(state["cosines"].numpy(), targets, atol=1e-9) and targets.any()


def test_mgda_is_frank_wolfe_and_near_the_shortest():
    for kind, g in CASES:
        w = weights("mgda", g)
        assert min(error(g, w, wanted) for wanted in published.mgda(g)) < (1e-6 if kind == "scaled" else 1e-14)
        assert (w >= 0).all() and w.sum() == pytest.approx(1)
        if kind != "scaled":
            ours, least = np.linalg.norm(w @ g) ** 2, np.linalg.norm(published.shortest(g)) ** 2
            assert ours - least < 0.03 * (g**2).sum(1).max(), "a hundred steps, or one below 0.001"


def test_imtl_g_projects_alike_on_all():
    for kind, g in CASES:
        w, size = weights("imtl_g", g), np.linalg.norm(g, axis=1)
        if kind in ("any", "conflicting", "scaled"):
            unit = g / size[:, None]
            condition = np.linalg.cond(unit @ unit.T)
            assert error(g, w, published.imtl_g(g)) < 1e-13 * condition * (size.max() / size.min() if kind == "scaled" else 10), kind
            along = unit @ (w @ g)
            assert np.allclose(along, along.mean(), atol=1e-13 * condition * np.abs(along).max()) and w.sum() == pytest.approx(1)
        elif kind == "zero":
            there = size > 0
            assert (w[~there] == 0).all()
            assert not there.sum() > 1 or error(g[there], w[there], published.imtl_g(g[there])) < 1e-9


def test_aligned_mtl_by_singular_values():
    for _, g in CASES:
        wanted, ratio = published.aligned_mtl(g)
        assert error(g, weights("aligned_mtl", g), wanted) < 1e-14 * ratio + 1e-11


def test_pcd_by_enumeration_and_what_it_remembers():
    for k in (2, 3, 4, 5):
        state, sizes, calls = {}, np.zeros(k), 0
        for kind, g in CASES:
            if len(g) == k and kind != "scaled":
                calls += 1
                w = weights("pcd", g, state)
                assert error(g, w, published.pcd(g, sizes, calls)) < 1e-6, (kind, calls)
        assert np.allclose(state["sizes"].numpy(), sizes) and int(state["steps"]) == calls
    for _, g in CASES[3::5]:
        assert error(g, weights("pcd", g), published.pcd(g, np.zeros(len(g)), 1)) < 1e-5


def test_upgrad_by_non_negative_least_squares():
    for _, g in CASES:
        w = weights("upgrad", g)
        assert error(g, w, published.upgrad(g)) < 1e-6
        assert (g @ (w @ g) >= -1.01e-4 * (g**2).sum() * np.maximum(w, 1)).all(), "no conflict, but for the 1e-4 on the diagonal"


@slow_solvers
def test_cagrad_by_scipy(n):
    for kind, g in CASES[:n]:
        assert error(g, weights("cagrad", g), published.cagrad(g)) < 1e-4, kind


@slow_solvers
def test_nash_mtl_by_a_barrier(n):
    for kind, g in CASES[:n]:
        assert error(g, weights("nash_mtl", g), published.nash(g)) < 1e-7, kind


@pytest.mark.parametrize("method", ["mgda", "imtl_g", "aligned_mtl", "upgrad", "cagrad"])
def test_the_order_of_tasks_does_not_matter(method):
    for _, g in CASES[:50:5]:
        turned = np.roll(np.arange(len(g)), 1)
        assert np.allclose(weights(method, g)[turned], weights(method, g[turned]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["pcgrad", "gradvac"])
def test_the_order_of_tasks_does_not_matter_in_the_mean(method):
    kind, g = CASES[6]
    turned = np.roll(np.arange(len(g)), 1)
    one, other = (np.array([weights(method, x, rng=default_rng(n)) for n in range(400)]) for x in (g, g[turned]))
    one = one[:, turned]
    assert one.std(0).max() > 0, f"with {kind} gradients the order drawn must change the weights"
    assert (np.abs(one.mean(0) - other.mean(0)) < 5 * np.hypot(one.std(0), other.std(0)) / 20 + 1e-9).all()


def test_gradients_without_conflict_stay_unchanged_and_scale_invariance_holds_where_promised():
    g = np.abs(default_rng(5).standard_normal((3, 8)))
    assert np.array_equal(weights("pcgrad", g), np.ones(3)) and np.allclose(weights("upgrad", g), 1 / 3, atol=1e-6)
    for method in ("imtl_g", "nash_mtl"):  # of the gradient as a whole, not of one task's part in it
        a, b = weights(method, g), weights(method, g * 2.0**-20)
        assert np.allclose(a / a.sum(), b / b.sum(), rtol=1e-3)
    larger = g * np.array([[1.0], [64.0], [1.0]])
    for method in ("imtl_g", "pcd", "nash_mtl"):  # of another task
        a, b = weights(method, g) @ g, weights(method, larger) @ larger
        assert np.allclose(a / np.linalg.norm(a), b / np.linalg.norm(b), atol=1e-6)
    _, conflicting = CASES[11]
    told = weights("pcd", conflicting) @ conflicting
    assert all(g @ told > 0 for g in conflicting[1:]), "some progress of each"


LISTS = [np.exp(default_rng(n).normal(0, 1.5, 4)) for n in range(40)]  # losses of 40 steps


def told(method: str, *, after=None) -> list[np.ndarray]:
    state, found = {}, []
    for n, losses in enumerate(LISTS):
        found.append(LOSSES[method](torch.from_numpy(losses), state, numbers(3, n)).numpy())
        if after:
            after(n, state)
    return found


class Adam:
    """Kingma & Ba 2015, algorithm 1."""

    def __init__(self, decay: float = 0.0) -> None:
        self.x, self.m, self.v, self.t, self.decay = np.zeros(4), 0.0, 0.0, 0, decay

    def step(self, slope: np.ndarray) -> None:
        slope, self.t = slope + self.decay * self.x, self.t + 1
        self.m, self.v = 0.9 * self.m + 0.1 * slope, 0.999 * self.v + 0.001 * slope**2
        self.x = self.x - RATE * (self.m / (1 - 0.9**self.t)) / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)


def test_learned_weights_move_as_published():
    s, scale = Adam(), Adam()
    for losses, one, other in zip(LISTS, told("uncertainty"), told("imtl_l"), strict=True):
        assert np.allclose(one, 0.5 * np.exp(-s.x), rtol=1e-9) and np.allclose(other, np.exp(scale.x), rtol=1e-9)
        s.step(-0.5 * np.exp(-s.x) * losses + 0.5)
        scale.step(np.exp(scale.x) * losses - 1)
    assert np.ptp(s.x) > 0.1


def test_famo_lowers_the_weight_of_what_falls_faster():
    def later(n: int) -> np.ndarray:
        return LISTS[n] * [0.5, 1.0, 0.9, 1.1]

    xi = Adam(decay=0.001)
    for n, found in enumerate(told("famo", after=lambda n, state: famo_after(torch.from_numpy(later(n)), state))):
        z = np.exp(xi.x) / np.exp(xi.x).sum()
        assert np.allclose(found, z / LISTS[n] / (z / LISTS[n]).sum(), rtol=1e-6)
        fall = np.log(LISTS[n] / later(n))
        xi.step(z * (fall - z @ fall))
    assert xi.x[0] == xi.x.min() and xi.x[3] == xi.x.max()


def test_dwa_weighs_by_the_two_epochs_before():
    found = told("dwa", after=lambda n, state: dwa_after_epoch(state) if n % 10 == 9 else None)
    means = [np.mean(LISTS[e * 10 : e * 10 + 10], axis=0) for e in range(4)]
    for n, one in enumerate(found):
        e = n // 10
        rates = np.exp(means[e - 1] / means[e - 2] / 2) if e > 1 else np.ones(4)
        assert np.allclose(one, 4 * rates / rates.sum())


def test_random_weights_are_softmaxes_and_stch_a_smooth_maximum():
    for n, (losses, drawn, smooth) in enumerate(zip(LISTS, told("random"), told("stch"), strict=True)):
        with seeded(numbers(3, n)):
            z = torch.randn(4, dtype=torch.float64).numpy()
        assert np.allclose(drawn, np.exp(z) / np.exp(z).sum())
        assert np.allclose(smooth, 0.25 * np.exp(losses / 4) / np.exp(losses / 4).sum())
        assert np.array_equal(LOSSES["sum"](torch.from_numpy(losses), {}, numbers(0, n)), np.ones(4))


def test_a_methods_random_draws_do_not_change_torchs_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    told("random")
    weights("pcgrad", CASES[2][1])
    assert torch.equal(torch.get_rng_state(), before)

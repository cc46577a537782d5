"""The schedule (paper, Algorithm 1; design, statement 12)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit import Config
from mtdnn_kit.sampler import DRAWN_AT_ONCE, _epoch, draw, weights
from mtdnn_kit.training.setup import schedule_of

TYPES = ["qa", "mcc", "sc", "sc", "sc"]
SIZES = {"squad": 100, "swag": 9, "cola": 20, "mrpc": 7, "mnli": 40}
CHI_2 = {1: 10.83, 4: 18.47}  # 0.1 % points


def schedule(seed=0, sizes=SIZES, w=0.8, exhausted="cycle", epochs=1.0, max_steps=None, sharing="dataset"):
    types = TYPES[: len(sizes)]
    return draw(seed, sizes, lambda _: weights("weighted", list(sizes.values()), types, w, sharing), exhausted, epochs, max_steps)


def by(sampler, sizes=SIZES, epochs=1.0, exhausted="cycle", temperature=None, seed=0):
    """A schedule of a sampler that has no weight of the main task."""

    def p(epoch):
        return weights(sampler, list(sizes.values()), TYPES[: len(sizes)], None, None, temperature, epoch, epochs)

    return draw(seed, sizes, p, exhausted, epochs, sampler=sampler)


def test_weights_share_the_rest_by_dataset_or_by_group():
    sizes = list(SIZES.values())
    assert weights("weighted", sizes, TYPES, 0.8, "dataset") == pytest.approx([0.8, 0.05, 0.05, 0.05, 0.05])
    assert weights("weighted", sizes, TYPES, 0.8, "group") == pytest.approx([0.8, 0.1, 0.1 / 3, 0.1 / 3, 0.1 / 3])
    assert weights("proportional", [10, 30], ["qa", "sc"], None, None) == pytest.approx([0.25, 0.75])
    assert weights("weighted", [10], ["qa"], 1.0, "dataset") == pytest.approx([1.0])


def test_the_main_tasks_own_type_is_no_group_among_the_others():
    """Of the rest of the weight, each type of the other tasks has the same, whatever type the main task has."""
    assert weights("weighted", [9] * 4, ["qa", "qa", "sc", "mcc"], 0.7, "group") == pytest.approx([0.7, 0.1, 0.1, 0.1])
    assert weights("weighted", [9] * 4, ["sc", "sc", "sc", "mcc"], 0.4, "group") == pytest.approx([0.4, 0.15, 0.15, 0.3])
    assert weights("weighted", [9] * 3, ["mcc", "mcc", "mcc"], 0.5, "group") == pytest.approx([0.5, 0.25, 0.25])


@pytest.mark.parametrize("sharing", ["dataset", "group"])
def test_12_draws_fit_their_weights(sharing):
    """χ² on a stream of fixed length, drawn before the stopping rule cuts it."""
    p = weights("weighted", list(SIZES.values()), TYPES, 0.7, sharing)
    stream = _epoch(np.random.default_rng(5), p, np.array([60_000, *[np.iinfo(np.int64).max] * 4]))[: 60 * DRAWN_AT_ONCE]
    drawn = np.bincount(stream, minlength=5)
    assert len(stream) == 60 * DRAWN_AT_ONCE
    assert ((drawn - len(stream) * p) ** 2 / (len(stream) * p)).sum() < CHI_2[4]


def test_12_the_number_of_steps_has_the_mean_and_variance_of_its_law():
    """Steps until n QA batches: negative binomial, mean n / w, variance n (1 − w) / w²."""
    n, w = 100, 0.8
    steps = np.array([len(schedule(seed)) for seed in range(3000)])
    mean, variance = n / w, n * (1 - w) / w**2
    assert abs(steps.mean() - mean) < 4 * np.sqrt(variance / len(steps))
    assert abs(steps.var() - variance) < 4 * variance * np.sqrt(2 / len(steps))


@given(st.integers(0, 10_000), st.floats(0.2, 1.0), st.sampled_from(["cycle", "drop"]), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_12_an_epoch_ends_right_after_the_last_qa_batch(seed, w, exhausted, epochs):
    found = schedule(seed, w=w, exhausted=exhausted, epochs=float(epochs))
    for number in range(1, epochs + 1):
        tasks = found.task[found.epoch == number]
        assert tasks[-1] == 0 and (tasks == 0).sum() == SIZES["squad"]


@given(st.integers(0, 10_000), st.sampled_from(["cycle", "drop"]))
@settings(max_examples=40, deadline=None)
def test_each_pass_gives_its_batches_once_and_in_order(seed, exhausted):
    found = schedule(seed, w=0.5, exhausted=exhausted, epochs=2.0)
    for task, size in enumerate(SIZES.values()):
        mine = found.task == task
        for pass_ in np.unique(found.pass_[mine]):
            numbers = found.batch[mine & (found.pass_ == pass_)]
            assert numbers.tolist() == list(range(len(numbers))) and len(numbers) <= size


def test_every_epoch_starts_a_new_pass_of_every_task():
    found = schedule(w=0.8, epochs=3.0)
    for task in range(5):
        passes = [set(found.pass_[(found.task == task) & (found.epoch == e)].tolist()) for e in (1, 2, 3)]
        assert not passes[0] & passes[1] and not passes[1] & passes[2]


def test_cycle_starts_again_and_drop_takes_a_task_out_until_the_epoch_ends():
    cycle, drop = schedule(w=0.5, exhausted="cycle", epochs=2.0), schedule(w=0.5, exhausted="drop", epochs=2.0)
    assert cycle.passes()["mrpc"] > 2 and drop.passes()["mrpc"] == 2
    assert drop.draws()["mrpc"] == 2 * SIZES["mrpc"] < cycle.draws()["mrpc"]


def test_drop_renormalises_the_weights():
    """With swag out from the start, the others' shares grow alike: χ² over many seeds."""
    sizes, drawn = {"squad": 4000, "swag": 1, "cola": 10_000}, np.zeros(2)
    for seed in range(10):
        found = draw(seed, sizes, lambda _: np.array([0.4, 0.4, 0.2]), "drop", 1.0)
        after = found.task[np.flatnonzero(found.task == 1)[0] + 1 :]
        drawn += np.bincount(after, minlength=3)[[0, 2]]
    expected = drawn.sum() * np.array([2 / 3, 1 / 3])
    assert ((drawn - expected) ** 2 / expected).sum() < CHI_2[1]


def test_a_fraction_of_an_epoch_and_max_steps_end_it_early():
    assert (schedule(epochs=0.25).task == 0).sum() == 25
    half = schedule(epochs=1.5)
    assert [(half.task[half.epoch == e] == 0).sum() for e in (1, 2)] == [100, 50]
    whole, cut = schedule(epochs=2.0), schedule(epochs=2.0, max_steps=77)
    assert len(cut) == 77 and [cut.at(k) for k in range(77)] == [whole.at(k) for k in range(77)]


def test_15_the_seed_decides_all():
    assert [schedule(4).at(k) for k in range(90)] == [schedule(4).at(k) for k in range(90)]
    assert [schedule(4).at(k) for k in range(90)] != [schedule(5).at(k) for k in range(90)]


def test_a_lone_task_is_drawn_at_every_step():
    found = schedule(sizes={"squad": 30}, w=1.0)
    assert found.draws() == {"squad": 30} and [found.at(k)[2] for k in range(30)] == list(range(30))


def test_a_schedule_beyond_reason_is_refused_and_endless_epochs_are_cut():
    with pytest.raises(
        ValueError, match=r"^epochs: 1.0 of 100 batches of squad, drawn with probability 1e-08, are about 1e\+10 steps: too many"
    ):
        schedule(w=1e-8)
    assert len(schedule(epochs=1e9, max_steps=50)) == 50


def test_temperature_lies_between_proportional_and_alike():
    """Raffel et al. (2020): p ∝ n^(1/T)."""
    assert weights("temperature", [1, 16], temperature=2.0) == pytest.approx([0.2, 0.8])
    assert weights("temperature", [1, 16], temperature=1.0) == pytest.approx(weights("proportional", [1, 16]))
    assert weights("temperature", [1, 16], temperature=1e9) == pytest.approx([0.5, 0.5])


def test_annealed_goes_from_proportional_towards_alike():
    """Stickland & Murray (2019): p ∝ N^α, α = 1 − 0.8 (e − 1) / (E − 1)."""
    power = [1.0, 0.6, 0.2]
    for epoch, alpha in zip((1, 2, 3), power, strict=True):
        assert weights("annealed", [1, 32], epoch=epoch, epochs=3.0) == pytest.approx([1 / (1 + 32**alpha), 32**alpha / (1 + 32**alpha)])
    sizes = {"squad": 2000, "mnli": 8000}
    found = by("annealed", sizes, epochs=3.0)
    shares = [(found.task[found.epoch == e] == 1).mean() for e in (1, 2, 3)]
    assert shares == pytest.approx([4**a / (1 + 4**a) for a in power], abs=0.02)


@pytest.mark.parametrize("epochs", [1.0, 2.5])
def test_round_robin_takes_a_batch_of_each_in_turn_the_main_task_last(epochs):
    found = by("round_robin", epochs=epochs)
    assert found.task.tolist() == [1, 2, 3, 4, 0] * int(100 * epochs)
    assert found.passes()["mrpc"] == -(-100 // 7) * int(epochs) + (-(-50 // 7) if epochs > 2 else 0)
    out = by("round_robin", {"squad": 4, "swag": 1, "cola": 3, "mrpc": 9}, exhausted="drop")
    assert out.task.tolist() == [1, 2, 3, 0, 2, 3, 0, 2, 3, 0, 3, 0], "who has run out is left out of the turn"


def test_sequential_comes_task_after_task_the_main_one_last():
    sizes = {"squad": 4, "swag": 2, "cola": 3}
    found = by("sequential", sizes, epochs=1.5, exhausted=None)
    assert found.task.tolist() == [1, 1, 2, 2, 2, 0, 0, 0, 0, 1, 2, 2, 0, 0], "half an epoch is half of every task"
    assert found.passes() == {"squad": 2, "swag": 2, "cola": 2}


@pytest.mark.parametrize("sampler", ["proportional", "temperature", "annealed", "round_robin", "sequential"])
def test_every_sampler_ends_an_epoch_with_the_main_tasks_last_batch_and_follows_its_weights(sampler):
    sizes = {"squad": 3000, "swag": 900, "cola": 6000}
    found = by(
        sampler,
        sizes,
        epochs=2.0,
        exhausted=None if sampler == "sequential" else "cycle",
        temperature=3.0 if sampler == "temperature" else None,
    )
    for epoch in (1, 2):
        tasks = found.task[found.epoch == epoch]
        assert tasks[-1] == 0 and (tasks == 0).sum() == 3000
        p = weights(sampler, list(sizes.values()), TYPES[:3], temperature=3.0, epoch=epoch, epochs=2.0)
        assert np.bincount(tasks) / len(tasks) == pytest.approx(p, abs=0.03)


def test_the_probability_that_is_shown_is_the_mean_over_the_steps_where_it_changes():
    found, shown = schedule_of(
        Config(tasks=["squad", "mnli"], sampler="annealed", qa_weight=None, sharing=None, epochs=3.0), {"squad": 2000, "mnli": 8000}
    )
    assert shown["mnli"] == pytest.approx(found.draws()["mnli"] / len(found), abs=0.012) and sum(shown.values()) == pytest.approx(1)

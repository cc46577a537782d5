"""The schedule (paper, Algorithm 1; design, statement 12)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit import Config
from mtdnn_kit.sampler import DRAWN_AT_ONCE, _epoch, draw, first_phase, unimax, weights
from mtdnn_kit.training.setup import schedule_of

TYPES = ["qa", "mcc", "sc", "sc", "sc"]
SIZES = {"squad": 100, "swag": 9, "cola": 20, "mrpc": 7, "mnli": 40}
CHI_2 = {1: 10.83, 4: 18.47}  # 0.1 percentage points


def schedule(seed=0, sizes=SIZES, w=0.8, exhausted="cycle", epochs=1.0, max_steps=None, sharing="dataset"):
    types = TYPES[: len(sizes)]
    return draw(seed, sizes, lambda _: weights("weighted", list(sizes.values()), types, w, sharing), exhausted, epochs, max_steps)


def by(sampler, sizes=SIZES, epochs=1.0, exhausted="cycle", temperature=None, seed=0):
    """A schedule of a sampler that has no weight of the main task."""

    def p(epoch):
        return weights(sampler, list(sizes.values()), TYPES[: len(sizes)], None, None, temperature, epoch, epochs)

    return draw(seed, sizes, p, exhausted, epochs, sampler=sampler)


def test_weights_divide_the_rest_by_dataset_or_by_group():
    sizes = list(SIZES.values())
    assert weights("weighted", sizes, TYPES, 0.8, "dataset") == pytest.approx([0.8, 0.05, 0.05, 0.05, 0.05])
    assert weights("weighted", sizes, TYPES, 0.8, "group") == pytest.approx([0.8, 0.1, 0.1 / 3, 0.1 / 3, 0.1 / 3])
    assert weights("proportional", [10, 30], ["qa", "sc"], None, None) == pytest.approx([0.25, 0.75])
    assert weights("weighted", [10], ["qa"], 1.0, "dataset") == pytest.approx([1.0])


def test_the_main_tasks_type_is_not_a_group_among_the_others():
    """Each type of the other tasks gets an equal part of the remaining weight, whatever type the main task has."""
    assert weights("weighted", [9] * 4, ["qa", "qa", "sc", "mcc"], 0.7, "group") == pytest.approx([0.7, 0.1, 0.1, 0.1])
    assert weights("weighted", [9] * 4, ["sc", "sc", "sc", "mcc"], 0.4, "group") == pytest.approx([0.4, 0.15, 0.15, 0.3])
    assert weights("weighted", [9] * 3, ["mcc", "mcc", "mcc"], 0.5, "group") == pytest.approx([0.5, 0.25, 0.25])


@pytest.mark.parametrize("sharing", ["dataset", "group"])
def test_12_draws_fit_their_weights(sharing):
    """χ² on a stream of fixed length, drawn before the stopping rule truncates it."""
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


def test_cycle_starts_a_new_pass_and_drop_removes_a_task_until_the_epoch_ends():
    cycle, drop = schedule(w=0.5, exhausted="cycle", epochs=2.0), schedule(w=0.5, exhausted="drop", epochs=2.0)
    assert cycle.passes()["mrpc"] > 2 and drop.passes()["mrpc"] == 2
    assert drop.draws()["mrpc"] == 2 * SIZES["mrpc"] < cycle.draws()["mrpc"]


def test_drop_renormalises_the_weights():
    """With swag out from the start, the others' shares grow by one factor: χ² over many seeds."""
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


def test_15_the_seed_determines_the_schedule():
    assert [schedule(4).at(k) for k in range(90)] == [schedule(4).at(k) for k in range(90)]
    assert [schedule(4).at(k) for k in range(90)] != [schedule(5).at(k) for k in range(90)]


def test_a_single_task_is_drawn_at_every_step():
    found = schedule(sizes={"squad": 30}, w=1.0)
    assert found.draws() == {"squad": 30} and [found.at(k)[2] for k in range(30)] == list(range(30))


def test_a_schedule_that_is_too_long_is_refused_and_endless_epochs_are_cut():
    with pytest.raises(
        ValueError, match=r"^epochs: 1.0 of 100 batches of squad, drawn with probability 1e-08, are about 1e\+10 steps: too many"
    ):
        schedule(w=1e-8)
    assert len(schedule(epochs=1e9, max_steps=50)) == 50 and len(schedule(epochs=1e6, max_steps=20_000)) == 20_000


def test_temperature_lies_between_proportional_and_uniform():
    """Raffel et al. (2020): p ∝ n^(1/T)."""
    assert weights("temperature", [1, 16], temperature=2.0) == pytest.approx([0.2, 0.8])
    assert weights("temperature", [1, 16], temperature=1.0) == pytest.approx(weights("proportional", [1, 16]))
    assert weights("temperature", [1, 16], temperature=1e9) == pytest.approx([0.5, 0.5])
    assert weights("temperature", [1, 8000], temperature=0.005).tolist() == [0, 1]


def test_annealed_goes_from_proportional_towards_uniform():
    """Stickland & Murray (2019): p ∝ N^α, α = 1 − 0.8 (e − 1) / (E − 1)."""
    power = [1.0, 0.6, 0.2]
    for epoch, alpha in zip((1, 2, 3), power, strict=True):
        assert weights("annealed", [1, 32], epoch=epoch, epochs=3.0) == pytest.approx([1 / (1 + 32**alpha), 32**alpha / (1 + 32**alpha)])
    sizes = {"squad": 2000, "mnli": 8000}
    found = by("annealed", sizes, epochs=3.0)
    shares = [(found.task[found.epoch == e] == 1).mean() for e in (1, 2, 3)]
    assert shares == pytest.approx([4**a / (1 + 4**a) for a in power], abs=0.02)


@pytest.mark.parametrize("epochs", [1.0, 2.5])
def test_round_robin_takes_one_batch_of_each_task_in_turn_the_main_task_last(epochs):
    found = by("round_robin", epochs=epochs)
    assert found.task.tolist() == [1, 2, 3, 4, 0] * int(100 * epochs)
    assert found.passes()["mrpc"] == -(-100 // 7) * int(epochs) + (-(-50 // 7) if epochs > 2 else 0)
    out = by("round_robin", {"squad": 4, "swag": 1, "cola": 3, "mrpc": 9}, exhausted="drop")
    assert out.task.tolist() == [1, 2, 3, 0, 2, 3, 0, 2, 3, 0, 3, 0], "a task that has run out is skipped"


def test_sequential_takes_the_tasks_one_after_another_the_main_task_last():
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


def test_the_shown_probability_is_the_mean_over_the_steps_where_it_changes():
    found, shown = schedule_of(
        Config(tasks=["squad", "mnli"], sampler="annealed", qa_weight=None, sharing=None, epochs=3.0), {"squad": 2000, "mnli": 8000}
    )
    assert shown["mnli"] == pytest.approx(found.draws()["mnli"] / len(found), abs=0.012) and sum(shown.values()) == pytest.approx(1)


# Curricula

EASY_FIRST = ["mrpc", "cola", "swag", "mnli", "squad"]


def planned(sampler, sizes=SIZES, seed=0, **changes):
    """The result of `schedule_of` for the parameters of a curriculum, or of unimax."""
    if sampler == "unimax":
        more = dict(qa_weight=None, sharing=None, exhausted=None, **changes)
    else:
        more = {**dict(qa_weight=0.5, task_order=EASY_FIRST, first_tasks=2, phase=0.25), **changes}
    return schedule_of(Config(tasks=list(sizes), sampler=sampler, seed=seed, threshold_articles=[], **more), sizes)


def names(found, where=slice(None)):
    return [found.tasks[task] for task in found.task[where]]


def test_a_curriculum_begins_with_the_easiest_tasks_for_its_share_of_the_mean_schedule_then_adds_all():
    """If the main task is not in the phase, it has φ / (1 − φ) of the mean n E / w steps that follow; it is part of epoch 1."""
    found, _ = planned("curriculum", epochs=2.0)
    phase = round(0.25 * 200 / (0.75 * 0.5))
    assert phase == 133 and set(names(found, slice(phase))) == {"mrpc", "cola"}
    assert set(names(found, slice(phase, None))) == set(SIZES) and (found.epoch[:phase] == 1).all()
    for epoch in (1, 2):
        tasks = found.task[found.epoch == epoch]
        assert tasks[-1] == 0 and (tasks == 0).sum() == 100
    assert found.passes()["mrpc"] > 9, "exhausted: cycle starts another pass within the phase"


def test_an_anti_curriculum_begins_with_the_hardest_tasks_and_its_epochs_end_within_the_phase_too():
    """With the main task in it (0.8 of 0.5 + 0.125 in the phase) its epochs are shorter: of 5, the phase has more than one."""
    found, _ = planned("anti_curriculum", epochs=5.0, phase=0.5)
    phase = round(0.5 * 500 / (0.5 * 0.5 + 0.5 * 0.8))
    assert phase == 385 and set(names(found, slice(phase))) == {"squad", "mnli"}
    ends = [np.flatnonzero(found.epoch == epoch)[-1] for epoch in range(1, 6)]
    assert ends[2] < phase < ends[3] and all(found.task[end] == 0 for end in ends)
    assert found.draws()["squad"] == 500 and set(names(found, slice(phase, phase + 60))) == set(SIZES)


def test_the_anti_curriculum_reads_the_order_from_its_end():
    assert set(names(planned("anti_curriculum", first_tasks=3)[0], slice(40))) == {"squad", "mnli", "swag"}
    assert set(names(planned("curriculum", first_tasks=3)[0], slice(40))) == {"mrpc", "cola", "swag"}


@given(
    st.integers(0, 10_000), st.permutations(EASY_FIRST), st.integers(1, 4), st.floats(0.01, 0.9), st.floats(0.1, 0.9), st.floats(0.3, 3.0),
    st.sampled_from(["cycle", "drop"]), st.sampled_from([None, 60]), st.sampled_from(["curriculum", "anti_curriculum"]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_in_every_curriculum_the_phase_has_its_steps_and_epochs_end_with_the_main_tasks_last_batch(
    seed, order, n, phase, w, epochs, exhausted, max_steps, sampler
):
    more = dict(task_order=order, first_tasks=n, phase=phase, qa_weight=w, epochs=epochs, exhausted=exhausted, max_steps=max_steps)
    found, shown = planned(sampler, seed=seed, **more)
    first = order[:n] if sampler == "curriculum" else order[::-1][:n]
    q = w / (w + (n - 1) * (1 - w) / 4) if "squad" in first else 0.0
    steps = round(phase * min(100 * epochs / ((1 - phase) * w + phase * q), max_steps or 1e9))
    if exhausted == "cycle" or "squad" in first:
        assert set(names(found, slice(steps))) <= set(first)
    assert sum(shown.values()) == pytest.approx(1) and len(found) <= (max_steps or 1e9)
    if not max_steps:
        assert found.draws()["squad"] == 100 * int(epochs) + (max(1, round(100 * (epochs % 1))) if epochs % 1 > 1e-9 else 0)
        assert all(found.task[np.flatnonzero(found.epoch == e)[-1]] == 0 for e in np.unique(found.epoch))
    for task, size in enumerate(SIZES.values()):
        mine = found.task == task
        for pass_ in np.unique(found.pass_[mine]):
            numbers = found.batch[mine & (found.pass_ == pass_)]
            assert numbers.tolist() == list(range(len(numbers))) and len(numbers) <= size


def test_a_phase_ends_when_drop_leaves_it_no_batch():
    """The phase can take only mrpc's 7 and cola's 20 batches; in the second epoch they come among the others."""
    found, _ = planned("curriculum", epochs=2.0, exhausted="drop")
    assert sorted(names(found, slice(27))) == ["cola"] * 20 + ["mrpc"] * 7
    assert "squad" in names(found, found.epoch == 2)[:20] and found.draws()["mrpc"] == 14


def test_12_draws_of_a_phase_and_after_it_fit_their_weights():
    """χ² of long stretches of one schedule: in the phase the relative weights of its tasks, afterwards those of all tasks."""
    sizes = dict.fromkeys(SIZES, 40_000)
    p = np.array([0.5, 0.1, 0.2, 0.05, 0.15])
    phase = first_phase(p, [True, False, True, False, True], 0.4, 40_000)
    assert phase.p == pytest.approx(np.array([0.5, 0, 0.2, 0, 0.15]) / 0.85) and phase.steps == round(
        0.4 * 40_000 / (0.6 * 0.5 + 0.4 * 0.5 / 0.85)
    )
    found = draw(3, sizes, lambda _: p, "cycle", 1.0, phase=phase).task
    for stretch, q in ((found[: phase.steps], phase.p), (found[phase.steps : phase.steps + 30_000], p)):
        drawn, expected = np.bincount(stretch, minlength=5), len(stretch) * q
        assert (drawn[q == 0] == 0).all()
        assert ((drawn - expected)[q > 0] ** 2 / expected[q > 0]).sum() < CHI_2[4]


def test_the_phase_is_that_share_of_a_schedule_that_max_steps_truncates():
    """Arms of a study with equal steps therefore have phases of equal length."""
    found, _ = planned("anti_curriculum", epochs=9.0, max_steps=80)
    assert len(found) == 80 and set(names(found, slice(20))) == {"squad", "mnli"} and set(names(found, slice(20, None))) == set(SIZES)


def test_the_shown_probability_of_a_curriculum_is_the_mean_over_its_steps():
    sizes = {"squad": 4000, "swag": 900, "cola": 600}
    found, shown = planned("curriculum", sizes, task_order=["cola", "squad", "swag"], phase=0.5, epochs=2.0)
    for task, count in found.draws().items():
        assert shown[task] == pytest.approx(count / len(found), abs=0.012)


def test_an_invalid_phase_is_refused():
    with pytest.raises(ValueError, match=r"^epochs: 3.0 of 100 batches of squad, .*, after a phase of 6e\+09, are about 6e\+09 steps: too"):
        planned("curriculum", phase=0.9999999)


# UniMax


def published_unimax(sizes, budget, epochs):
    """Chung et al. (2023), Algorithm 1: characters of each language, the total budget, the most passes over one language."""
    left, found = budget, {}
    for i, task in enumerate(sorted(sizes, key=sizes.get)):
        share = left / (len(sizes) - i)
        found[task] = min(share, sizes[task] * epochs)
        left -= found[task]
    return found


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6), st.floats(0.5, 20), st.floats(0.2, 4))
@settings(max_examples=100, deadline=None)
def test_unimax_is_the_published_algorithm_with_whole_batches_as_caps(sizes, max_passes, epochs):
    """The main task has no cap; the budget is set for its `epochs` passes, or for max_steps if that is less."""
    main = sizes[0] * epochs
    caps = {0: main, **{k: max(1, int(n * max_passes)) for k, n in enumerate(sizes) if k}}
    whole = sum(min(main, cap) for cap in caps.values())
    for max_steps in (None, max(1, int(whole / 3))):
        budget = min(whole, max_steps or whole)
        wanted = published_unimax(caps, budget, 1)
        found = unimax(sizes, epochs, max_passes, max_steps)
        assert found == pytest.approx([wanted[k] for k in range(len(sizes))])
        assert found.sum() == pytest.approx(budget)
    assert unimax(sizes, epochs, max_passes) == pytest.approx([min(main, cap) for cap in caps.values()])


def test_unimax_draws_tasks_below_their_cap_uniformly():
    """200 batches of squad; the caps: 2 passes of mrpc and swag are 14 and 18, 6 of cola 120, of which 2 are 40, of mnli 80."""
    assert weights("unimax", list(SIZES.values()), epochs=2.0, max_passes=2.0) == pytest.approx(np.array([200, 18, 40, 14, 80]) / 352)
    assert weights("unimax", list(SIZES.values()), epochs=2.0, max_passes=99.0) == pytest.approx([0.2] * 5)


@given(st.integers(0, 10_000), st.floats(0.5, 12), st.floats(0.3, 3.0))
@settings(max_examples=60, deadline=None)
def test_no_task_but_the_main_one_exceeds_its_cap(seed, max_passes, epochs):
    found, shown = planned("unimax", seed=seed, max_passes=max_passes, epochs=epochs)
    draws = found.draws()
    assert all(draws[task] <= max(1, int(SIZES[task] * max_passes)) for task in list(SIZES)[1:])
    for number, task in enumerate(SIZES):  # a pass is complete before the next one begins, whatever the epochs
        mine = found.task == number
        counted = np.arange(mine.sum()) if number else None
        if number:
            assert (found.pass_[mine] == counted // SIZES[task]).all() and (found.batch[mine] == counted % SIZES[task]).all()
            assert found.passes()[task] <= max(1, np.ceil(max_passes))
    assert draws["squad"] == 100 * int(epochs) + (max(1, round(100 * (epochs % 1))) if epochs % 1 > 1e-9 else 0)
    assert all(found.task[np.flatnonzero(found.epoch == e)[-1]] == 0 for e in np.unique(found.epoch))
    assert sum(shown.values()) == pytest.approx(1)


def test_12_unimax_draws_fit_its_weights_until_the_first_cap_is_reached():
    sizes = {"squad": 20_000, "swag": 2000, "cola": 90_000, "mrpc": 600, "mnli": 7000}
    found, p = planned("unimax", sizes, max_passes=3.0, epochs=1.0)
    stretch = found.task[:30_000]
    expected = len(stretch) * np.array(list(p.values()))
    assert p["mrpc"] == pytest.approx(1800 / 67_800) and p["cola"] == pytest.approx(20_000 / 67_800)
    assert ((np.bincount(stretch, minlength=5) - expected) ** 2 / expected).sum() < CHI_2[4]
    assert found.draws()["mrpc"] == pytest.approx(1800, abs=130) and found.draws()["mrpc"] <= 1800

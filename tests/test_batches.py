"""Batches of a pass: a pure function of seed, task and pass."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mtdnn_kit.sampler import batch_count, batches, generator

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=2000).map(np.array)


@given(LENGTHS, st.integers(1, 33), st.integers(0, 9), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_item_comes_once_and_only_the_last_batch_is_partial(lengths, size, seed, pass_):
    found = batches(seed, "squad", pass_, lengths, size)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    assert len(found) == batch_count(len(lengths), size)
    assert all(len(batch) == size for batch in found[:-1])


@given(LENGTHS, st.integers(1, 33))
@settings(max_examples=30, deadline=None)
def test_the_same_arguments_give_the_same_batches(lengths, size):
    def lists(*key):
        return [batch.tolist() for batch in batches(*key, lengths, size)]

    assert lists(3, "squad", 1) == lists(3, "squad", 1)


def test_seed_task_and_pass_each_change_the_batches():
    lengths = np.arange(500) % 37
    wanted = [("squad", 0, 0), ("squad", 1, 0), ("squad", 0, 1), ("swag", 0, 0)]
    found = [tuple(map(tuple, batches(seed, task, pass_, lengths, 8))) for task, seed, pass_ in wanted]
    assert len(set(found)) == 4


def test_batches_contain_little_padding():
    lengths = generator(0, "lengths").integers(20, 384, 9000)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches(0, "squad", 0, lengths, 16))
    in_file_order = sum(16 * part.max() for part in np.array_split(lengths, len(lengths) // 16))
    assert lengths.sum() / padded > 0.95 > 0.7 > lengths.sum() / in_file_order


def test_12_file_order_does_not_decide_which_rows_share_a_batch():
    """Neighbours in the file share a batch as often as any two items: 8 · 7 / (400 · 399) of the time per pair."""
    lengths, together = np.full(400, 50), 0
    for seed in range(200):
        place = np.empty(400, int)
        for number, batch in enumerate(batches(seed, "squad", 0, lengths, 8)):
            place[batch] = number
        together += int((place[:-1] == place[1:]).sum())
    expected = 200 * 399 * 7 / 399
    assert abs(together - expected) < 5 * np.sqrt(expected)


def test_the_partial_batch_does_not_always_hold_the_longest_items():
    lengths = np.arange(1, 102)
    last = [batches(seed, "squad", 0, lengths, 10)[-1].item() for seed in range(400)]
    assert 35 < np.mean(last) < 65 and len(set(last)) > 80


def test_long_batches_come_at_any_time_of_a_pass():
    """The position of the longest items among 25 batches is uniform, whatever the seed; within 5 standard errors."""
    lengths = np.arange(400)
    places = [next(i for i, b in enumerate(batches(seed, "squad", 0, lengths, 16)) if 399 in b) for seed in range(200)]
    assert abs(np.mean(places) - 12) < 5 * np.sqrt((25**2 - 1) / 12 / 200) and len(set(places)) == 25

"""Every row in one batch, and no more padding than the costs justify."""

from hypothesis import given, settings
from hypothesis import strategies as st

from batching import CostModel, Sample
from serving.mapping.cutting import by_key, by_length, in_order

COST = CostModel(
    Sample(rows, length, 1e-3 + rows * length * 1e-5) for rows in (1, 8, 64) for length in (8, 128)
)


def rows_of(batches) -> list[int]:
    return [int(place) for batch in batches for place in batch]


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 64))
def test_rows_of_one_shape_stay_in_order(rows, size):
    batches = in_order(rows, size)

    assert rows_of(batches) == list(range(rows))
    assert all(1 <= len(batch) <= size for batch in batches)


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), max_size=200), st.integers(1, 64))
def test_rows_of_moving_length_ride_once(lengths, size):
    batches = by_length(lengths, COST, size)

    assert sorted(rows_of(batches)) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in batches)


@settings(deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=100))
def test_it_costs_no_more_than_one_by_one_and_than_all_in_their_order(lengths):
    cost = sum(
        COST.cycle(len(batch), max(lengths[place] for place in batch))
        for batch in by_length(lengths, COST, 16)
    )
    alone = sum(COST.cycle(1, length) for length in lengths)
    as_they_come = sum(
        COST.cycle(len(batch), max(lengths[place] for place in batch))
        for batch in in_order(len(lengths), 16)
    )

    assert cost <= alone * (1 + 1e-9)
    assert cost <= as_they_come * 1.05


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc")), st.integers(1, 8))
def test_only_rows_of_one_shape_share_a_batch(keys, size):
    batches = by_key(keys, size)

    assert sorted(rows_of(batches)) == list(range(len(keys)))
    assert all(len({keys[place] for place in batch}) == 1 for batch in batches)

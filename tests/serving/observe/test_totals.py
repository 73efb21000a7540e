"""Numbers of several processes are those of one that did everything."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import Batch, TooLate
from serving.observe.statistics import ModelStatistics
from serving.observe.totals import Totals, merged
from tests.support.batches import ticket

batches = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 2000)), max_size=10)


def told(statistics: ModelStatistics, done: list[tuple[int, int]]) -> None:
    """Batches of so many rows that ran for so many milliseconds."""
    for rows, run_ms in done:
        ended_at = 100 + run_ms / 1e3
        statistics.batch_done(
            Batch(rows, 100.0, ended_at, run_ms / 1e3, length=4, work=3 * rows),
            [ticket(arrived=99.5) for _ in range(rows)],
        )
        statistics.failed(TooLate(needed_s=1, allowed_s=0))


def counted(*parts: list[tuple[int, int]]) -> dict[str, Any]:
    statistics = ModelStatistics(clock=lambda: 103.0, wall=lambda: 5.0)
    for part in parts:
        told(statistics, part)
    return statistics.totals.as_values()


@given(batches, batches)
def test_apart_and_then_together_is_the_same_as_together(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    together, merged_ = counted(one, other), merged(counted(one), counted(other))

    assert merged_.keys() == together.keys()
    for name, value in together.items():
        if isinstance(value, float):
            assert merged_[name] == pytest.approx(value, abs=1e-6)
        elif name in ("latency", "queue", "run"):
            assert merged_[name]["counts"] == value["counts"]
            assert merged_[name]["sum"] == pytest.approx(value["sum"], abs=1e-6)
        elif name == "sizes":
            assert merged_[name].keys() == value.keys()
            for rows in value:
                assert merged_[name][rows] == pytest.approx(value[rows], abs=1e-6)
        else:
            assert merged_[name] == value, name


@given(batches)
def test_values_survive_json(done: list[tuple[int, int]]) -> None:
    values = counted(done)

    assert Totals.of_values(json.loads(json.dumps(values))).as_values() == values


def test_values_are_a_copy() -> None:
    statistics = ModelStatistics(clock=lambda: 103.0, wall=lambda: 5.0)
    told(statistics, [(2, 10)])
    before = statistics.totals.as_values()
    kept = json.dumps(before)

    told(statistics, [(2, 10)])

    assert json.dumps(before) == kept

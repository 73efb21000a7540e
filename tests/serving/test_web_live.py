"""Numbers of the last seconds, made of counts that only grow."""

import asyncio
import json
from typing import Any

import pytest

from serving.observe.histogram import SECONDS
from serving.observe.totals import Totals
from serving.web.live import MAX_VIEWERS, WINDOW_S, Live


class Counted:
    """One model's counts, and a clock, set by hand."""

    def __init__(self) -> None:
        self.totals, self.now, self.asked = Totals(), 100.0, 0

    async def report(self) -> Any:
        self.asked += 1
        gauges = {"queue_rows": 3, "riding_rows": 2, "predicted_wait_s": 0.5, "speed": 1.0}
        one = {"name": "m", "version": "1", "state": "READY"}
        return {
            "ready": True,
            "models": [{**one, "totals": self.totals.as_values(), "gauges": gauges}],
        }

    def clock(self) -> float:
        return self.now

    def answer(self, requests: int, *, rows: int = 1, took_s: float = 0.01) -> None:
        """So many batches of one request each."""
        self.totals.success += requests
        self.totals.good_rows += requests * rows
        self.totals.runs += requests
        self.totals.latency.add(took_s, requests)
        self.totals.sizes.setdefault(rows, [0, 0.0, 0.0, 0.0])[0] += requests


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def live(counted: Counted) -> Live:
    return Live(counted.report, clock=counted.clock)


async def told(live: Live) -> Any:
    return json.loads(await live.text())["models"][0]


async def test_rates_are_of_the_last_second_and_percentiles_of_the_window(counted, live) -> None:
    counted.answer(1000, took_s=5.0)
    with live.looking():
        first = await told(live)
        counted.answer(50, rows=3)
        counted.totals.refused["too_late"] = 20
        counted.now += 2
        second = await told(live)
        counted.now += 1
        third = await told(live)

    assert first["a_second"] == {"answers": 0, "rows": 0, "refusals": 0}
    assert first["lately"]["latency_s"] == {"p50": None, "p95": None, "p99": None}
    assert first["total"]["success"] == 1000
    assert second["a_second"] == {"answers": 25, "rows": 75, "refusals": 10}
    assert second["lately"]["success"] == 50
    assert second["lately"]["latency_s"]["p99"] == pytest.approx(0.01, rel=0.3)
    assert second["total"]["latency_s"]["p50"] == pytest.approx(5.0, rel=0.4)
    assert second["lately"]["batches"] == [[4, 50]]
    assert second["total"]["batches"] == [[1, 1000], [4, 50]]
    assert second["lately"]["refused"] == {"too_late": 20}
    assert third["a_second"]["answers"] == 0
    assert third["lately"]["success"] == 50
    assert third["now"] == {"queue_rows": 3, "riding_rows": 2, "predicted_wait_s": 0.5}
    assert "totals" not in third


async def test_what_is_older_than_the_window_does_not_count(counted, live) -> None:
    with live.looking():
        await told(live)
        counted.answer(7)
        for _ in range(int(WINDOW_S) + 2):
            counted.now += 1
            last = await told(live)

    assert last["lately"]["success"] == 0
    assert last["total"]["success"] == 7


async def test_all_who_look_are_told_the_same_made_once(counted, live) -> None:
    with live.looking(), live.looking():
        texts = await asyncio.gather(live.text(), live.text(), live.text())

    assert len(set(texts)) == 1
    assert counted.asked == 1


async def test_with_the_last_who_looks_all_is_forgotten(counted, live) -> None:
    with live.looking():
        await told(live)
    counted.answer(5)
    counted.now += 0.1
    with live.looking():
        again = await told(live)

    assert counted.asked == 2
    assert again["a_second"]["answers"] == 0


async def test_a_model_that_is_loaded_anew_begins_anew(counted, live) -> None:
    counted.answer(100)
    with live.looking():
        await told(live)
        counted.totals = Totals()
        counted.answer(1)
        counted.now += 1
        after = await told(live)
        counted.answer(4)
        counted.now += 1
        later = await told(live)

    assert after["lately"]["success"] == 0
    assert later["lately"]["success"] == 4
    assert later["a_second"]["answers"] == 4


async def test_a_model_that_does_not_answer_has_no_numbers() -> None:
    async def report() -> Any:
        model = {"name": "m", "version": "", "totals": None, "gauges": {}}
        return {"ready": False, "models": [model]}

    assert (await told(Live(report)))["total"] is None


def test_only_so_many_may_look(live) -> None:
    places = [live.looking() for _ in range(MAX_VIEWERS)]
    for place in places:
        assert not live.full
        place.__enter__()
    assert live.full
    for place in places:
        place.__exit__(None, None, None)

    assert live.viewers == 0


def test_the_bounds_are_those_of_the_histograms() -> None:
    assert Totals().latency.bounds == SECONDS

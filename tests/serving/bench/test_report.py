"""Runs in words."""

import json

import pytest

from serving.bench.outcome import LOST
from serving.bench.plan import Plan
from serving.bench.report import (
    HEADER,
    document,
    found_line,
    generator_line,
    line,
    ms,
    progress_line,
    rounded,
    statuses_line,
)
from serving.bench.search import Found

from .test_figures import figures

RUN = figures(*[(200, 0.05)] * 95, *[(200, 0.3)] * 2, (429, 0.001), (LOST, 0), (500, 0.1), rate=50)


def test_a_run_is_a_line() -> None:
    said = line(RUN)

    assert said.split()[:3] == ["50", "48", "95.00%"]
    assert said.endswith("1 refused (429), 1 failed, 1 lost")
    assert len(HEADER) - len("not answered") == said.index("1 refused")
    assert statuses_line(RUN) == "status 500: 1"
    assert "10% of a core" in generator_line(RUN)
    assert line(figures((200, 0.01))).endswith("-")


@pytest.mark.parametrize(
    ("elapsed_s", "says"),
    [(-0.1, "warms up"), (0.5, "warms up"), (6.0, "50%"), (12.5, "waiting for the last")],
)
def test_progress(elapsed_s: float, says: str) -> None:
    said = progress_line(Plan(rate=1000, seconds=11, warm_up_s=1), elapsed_s, 1234)

    assert said.startswith("1,000/s [")
    assert says in said
    assert "1,234 answered" in said
    assert "answered" not in progress_line(Plan(rate=1, seconds=9), 1, -1)


def test_what_a_search_found() -> None:
    assert "within 100 ms: 4,321 a second; 4,400 were too many (9 runs)." in found_line(
        Found(4321, 4400, 9), 0.1
    )
    assert "ended early: it rained." in found_line(Found(10, None, 1, "it rained"), 0.1)
    assert "No rate was good" in found_line(Found(0, 1, 1), 0.1)


def test_numbers_have_as_many_digits_as_they_are_worth() -> None:
    assert [ms(s) for s in (0.000123, 0.0123, 1.5, float("nan"))] == ["0.12", "12.3", "1,500", "-"]
    assert [rounded(rate) for rate in (0.5, 12.345, 12345.6)] == ["0.5", "12.3", "12,346"]


def test_all_of_it_is_json() -> None:
    text = json.dumps(document("u", ["c"], 0.1, [RUN], Found(1, 2, 3)), allow_nan=False)

    found = json.loads(text)
    assert found["runs"][0]["latency_ms"]["p50"]["value"] == 50
    assert found["search"]["highest_good"] == 1
    assert found["slo_ms"] == 100

"""The `Server-Timing` header."""

import re

import pytest

from batching import Batch
from serving.timing import server_timing


def timing(**batch: float) -> str:
    made = Batch(rows=4, cut_at=10.0, ended_at=10.5, run_s=0.25, **batch)  # type: ignore[arg-type]
    return server_timing(made, 0.125, 0.001).decode()


def test_it_says_where_the_time_went() -> None:
    assert timing() == "queue;dur=125.000, run;dur=250.000, encode;dur=1.000, batch;desc=4"


def test_where_rows_were_padded_it_says_how_much_of_the_run_that_was() -> None:
    assert timing(length=100, work=100).endswith(", batch;desc=4, padding;desc=75%")


@pytest.mark.parametrize(
    "batch",
    [
        {"length": 100, "work": 400},  # all of one length
        {"length": 100, "work": 399},  # too little to be worth a word
        {"length": 100},  # not known
        {},
    ],
)
def test_where_nothing_was_padded_it_says_nothing(batch: dict[str, int]) -> None:
    assert "padding" not in timing(**batch)


def test_it_is_what_the_standard_allows() -> None:
    token = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
    metric = rf"{token}(;{token}={token})*"

    assert re.fullmatch(rf"{metric}(, {metric})*", timing(length=10, work=7))

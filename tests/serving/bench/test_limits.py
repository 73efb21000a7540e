"""What `--require` asks for."""

import pytest

from serving.bench.limits import limits, missed

from .test_figures import figures

RUN = figures(*[(200, 0.05)] * 95, *[(200, 0.3)] * 3, (429, 0.001), (-1, 0), rate=50)
"""100 requests of which 95 are in time."""


@pytest.mark.parametrize(
    "text",
    [
        "p50<=50.001",
        "p99 <= 0.31s, mean<100",
        "p99>=300ms",
        "goodput>=47.5",
        "good>=95%",
        "good<96",
        "refused<=1%,lost<=1",
        "rate>=50",
        "failed<=0",
        "late<3.5%",
        "MAX<=1e3",
    ],
)
def test_limits_that_are_kept(text: str) -> None:
    assert missed(limits(text), [RUN]) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p99<=100", "p99<=100 was asked for, 300 ms found"),
        ("p50<=1,p99<=1000,lost<=0", "lost<=0 was asked for, 1 found"),
        ("refused<1%", "refused<1% was asked for, 1% found"),
        ("goodput>4000", "goodput>4000 was asked for, 47.5 found"),
    ],
)
def test_limits_that_are_missed_say_what_is_so(text: str, says: str) -> None:
    assert missed(limits(text), [RUN])[-1] == f"50 a second: {says}"


def test_no_answer_keeps_no_limit() -> None:
    assert "there was no answer" in missed(limits("p99<=100"), [figures((429, 0.1))])[0]
    assert missed(limits("p99>=1"), [figures((429, 0.1))])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p98<=1", "'p98' is none of p50"),
        ("p99=1", "is no limit"),
        ("p99<=", "is no limit"),
        ("p99<=1.2.3", "is no limit"),
        ("", "is no limit"),
        ("p99<=1,", "is no limit"),
        ("p99<=5%", "no number of requests"),
        ("lost<=5ms", "no time"),
        ("__class__<=1", "none of"),
    ],
)
def test_what_is_no_limit_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        limits(text)

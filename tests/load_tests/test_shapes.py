"""How many users there are while a load test runs."""

import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

FILE = Path(__file__).parents[2] / "load_tests" / "shapes.py"
MODULE: dict[str, Any] = runpy.run_path(str(FILE))
SHAPES = MODULE["SHAPES"]


@pytest.mark.parametrize("name", SHAPES)
@given(over=st.floats(0, 2))
def test_never_more_than_all_and_none_after_the_end(name: str, over: float) -> None:
    share = SHAPES[name](over)

    assert (share is None) == (over >= 1)
    assert share is None or 0 <= share <= 1


def test_all_are_there_at_some_time_but_in_a_soak() -> None:
    for name, shape in SHAPES.items():
        most = max(shape(n / 1000) for n in range(1000))
        assert most == (0.5 if name == "soak" else 1.0)


def test_each_has_a_time_of_its_own() -> None:
    assert MODULE["SECONDS"].keys() == SHAPES.keys()


def test_a_ramp_and_steps_only_rise() -> None:
    for name in ("ramp", "step"):
        shares = [SHAPES[name](n / 1000) for n in range(1000)]
        assert shares == sorted(shares)


def test_a_spike_comes_twice_and_goes() -> None:
    shares = [SHAPES["spike"](n / 100) for n in range(100)]
    jumps = sum(after > before for before, after in pairwise(shares))

    assert jumps == 2
    assert shares[0] == shares[-1] == 0.1

"""Answers as people read them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cli.answers import as_text, timing, top
from serving.cli.spec import Spec
from tests.support.wire import NUMPY, Array, arrays, patient


def shown(array: Array, datatype: str = "FP32") -> str:
    return as_text(Spec("y", datatype, array.shape), array)


def texts(*elements: bytes) -> Array:
    return np.array(elements, object)


def test_a_small_output_is_shown_whole() -> None:
    array = np.array([[0.25, -1e-9], [3, 4]], np.float32)

    assert shown(array) == "y  FP32 [2, 2]\n  [[ 0.25 -0.  ]\n   [ 3.    4.  ]]"


def test_a_large_one_is_cut_and_summed_up() -> None:
    text = shown(np.full((1, 4000), 2, np.float16), "FP16")

    assert text.splitlines()[0] == "y  FP16 [1, 4000]"
    assert "…" in text
    assert "..." not in text
    assert text.endswith("\n  mean 2, min 2, max 2")
    assert len(text) < 200


def test_a_text_keeps_its_lines_and_several_have_one_each() -> None:
    assert shown(texts(b"one\ntwo"), "BYTES") == "y  BYTES [1]\n  one\n  two"
    assert shown(texts(b"one\ntwo", "drü".encode()), "BYTES") == "y  BYTES [2]\n  one\\ntwo\n  drü"
    assert shown(texts(*[b"x"] * 105), "BYTES").endswith("  x\n  … and 5 more")


def test_a_models_text_does_not_command_the_terminal() -> None:
    assert "\x1b" not in shown(texts(b"\x1b[2Jhello\x07"), "BYTES")


def test_an_output_without_elements_says_so() -> None:
    assert shown(np.zeros((0, 3), np.float32)) == "y  FP32 [0, 3]\n  (empty)"


@patient
@given(st.sampled_from(sorted(NUMPY.keys() - {"BF16"})).flatmap(arrays))
def test_whatever_is_answered_can_be_shown(array: Array) -> None:
    assert shown(array).startswith("y  FP32 [")


def test_the_largest_with_their_places_and_labels() -> None:
    array = np.array([[0.1, 0.7, 0.2, np.nan], [5, 1, 5, 2]], np.float32)

    text = top(Spec("y", "FP32", (2, 4)), array, 2, True, ["cat", "dog"])

    assert text == (
        "y  FP32 [2, 4], the largest\n"
        "  row 0\n           0.7  1  dog\n           0.2  2\n"
        "  row 1\n             5  0  cat\n             5  2"
    )


@patient
@given(st.lists(st.integers(-128, 127), min_size=2, max_size=30), st.integers(1, 40))
def test_they_are_the_largest(values: list[int], count: int) -> None:
    array = np.array(values, np.int8)
    text = top(Spec("y", "INT8", array.shape), array, count, False, [])

    assert text is not None
    rows = [line.split() for line in text.splitlines()[1:]]
    assert [int(value) for value, _ in rows] == sorted(values, reverse=True)[:count]
    assert [values[int(place)] for _, place in rows] == [int(value) for value, _ in rows]


@pytest.mark.parametrize(
    ("array", "has_rows"),
    [
        (np.array([7]), True),  # a number a row
        (np.array([[7], [8]]), True),
        (np.array([b"a", b"b"], object), False),
        (np.array([True, False]), False),
        (np.zeros((0, 3)), True),
    ],
)
def test_what_is_no_vector_has_none(array: Array, has_rows: bool) -> None:
    assert top(Spec("y", "FP32", array.shape), array, 2, has_rows, []) is None


def test_timing_in_words() -> None:
    header = "queue;dur=0.412, run;dur=2.204, encode;dur=0.061, batch;desc=7"

    assert timing(0.0031, header) == (
        "3.1 ms: waited 0.4 ms, batch of 7 rows ran 2.2 ms, encoded 0.06 ms"
    )
    assert timing(0.0031, "") == "3.1 ms"
    assert timing(0.0031, "run;dur=2, batch;desc=1") == "3.1 ms: batch of 1 row ran 2.0 ms"


def test_another_servers_timing_is_shown_by_its_names() -> None:
    header = 'cache;desc="hit, or miss", db;desc="a;b";dur=53, app;dur=odd'

    assert timing(0.1, header) == "100.0 ms: db 53.0 ms, app ? ms"


@patient
@given(st.text())
def test_any_timing_can_be_shown(header: str) -> None:
    assert timing(0.001, header).startswith("1.0 ms")

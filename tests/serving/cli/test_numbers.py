"""Numbers as they are written, into a tensor's type."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from serving.cli.errors import Mistake
from serving.cli.numbers import Numbers, cast, numbers_in_text, numbers_of_file
from serving.cli.spec import Spec
from tests.support.wire import NUMPY, Array, assert_same, patient

INTEGERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")


def spec(datatype: str = "FP32") -> Spec:
    return Spec("x", datatype, (-1,))


def read(text: str) -> Numbers:
    return numbers_in_text(text, "'it'", "'x' takes numbers")


def npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "text", ["1 -2.5 3", "1,-2.5,3", " 1, -2.5,\n3 ", "1;-2.5;3", "1e0,-25e-1 3"]
)
def test_blanks_and_commas_part_numbers(text: str) -> None:
    assert read(text) == Numbers([1, -2.5, 3], None)


def test_a_json_list_keeps_its_shape() -> None:
    assert read("[[1, 2, 3], [4, 5.5, -6]]") == Numbers([1, 2, 3, 4, 5.5, -6], (2, 3))
    assert read("[[]]") == Numbers([], (1, 0))


@patient
@given(nps.arrays("f8", nps.array_shapes(min_side=0, max_side=4)))
def test_whatever_json_holds_comes_back(array: Array) -> None:
    values, shape = read(json.dumps(array.tolist()))

    # Where an axis is empty, JSON does not show what is inside it.
    assert shape == array.shape[: array.shape.index(0) + 1 if 0 in array.shape else None]
    np.testing.assert_array_equal(np.array(values, "f8"), array.ravel())


@patient
@given(nps.arrays(st.sampled_from(["f4", "f8", "i4", "u1", "?"]), nps.array_shapes(min_side=0)))
def test_an_npy_file_comes_back(array: Array) -> None:
    values, shape = numbers_of_file(npy(array), "it", "")

    assert shape == array.shape
    assert_same(np.asarray(values), array.ravel())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 two 3", "'two' in 'it' is not a number. 'x' takes numbers. A file is given as @FILE"),
        ("", "'it' has no numbers"),
        (" , ", "'it' has no numbers"),
        ("[1, 2", "'it' is not valid JSON"),
        ("[" * 100_000, "'it' is not valid JSON"),
        ("[[1, 2], [3]]", "lists of different lengths"),
        ("[[1], 2]", "lists of different lengths"),
        ("[1, [2]]", "'it' has [2] where a number should be"),
        ('[1, "2"]', "'it' has \"2\" where a number should be"),
        ("[null]", "'it' has null where a number should be"),
    ],
)
def test_what_is_no_number_is_named(text: str, words: str) -> None:
    with pytest.raises(Mistake) as raised:
        read(text)
    assert words in raised.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x93NUMPY\x01\x00broken", "it cannot be read as an .npy file"),
        (npy(np.array(["a"])), "it holds <U1, not numbers"),
        (npy(np.array([{}], object)), "it cannot be read as an .npy file: Object arrays"),
        (b"\xff\x00\x01", "it is neither numbers, JSON, an .npy file nor an image"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(content: bytes, words: str) -> None:
    with pytest.raises(Mistake) as raised:
        numbers_of_file(content, "it", "")
    assert words in raised.value.message


@patient
@given(st.sampled_from(INTEGERS), st.data())
def test_every_whole_number_that_fits_arrives_exactly(datatype: str, data: Any) -> None:
    """Those of 64 bits too, which a float would round."""
    limits = np.iinfo(NUMPY[datatype])
    values = data.draw(st.lists(st.integers(int(limits.min), int(limits.max))))

    assert cast(spec(datatype), values).tolist() == values
    assert cast(spec(datatype), np.array(values, NUMPY[datatype])).tolist() == values


@patient
@given(st.sampled_from(INTEGERS), st.integers() | st.floats(), st.booleans())
def test_a_number_arrives_as_it_is_or_not_at_all(
    datatype: str, value: float, as_array: bool
) -> None:
    values: Any = [value]
    if as_array and isinstance(value, float):
        values = np.array(values)
    try:
        (arrived,) = cast(spec(datatype), values).tolist()
    except Mistake:
        limits = np.iinfo(NUMPY[datatype])
        assert value != value or value % 1 or not limits.min <= value <= limits.max
    else:
        assert arrived == value


@patient
@given(st.lists(st.floats(width=32)))
def test_every_float_arrives(values: list[float]) -> None:
    assert_same(cast(spec("FP32"), values), np.array(values, "f4"))


@pytest.mark.parametrize(
    ("datatype", "value", "words"),
    [
        ("UINT8", 256, "256 does not fit: UINT8 holds whole numbers from 0 to 255"),
        ("INT8", 1.5, "1.5 does not fit: INT8 holds whole numbers"),
        ("INT64", float("nan"), "nan does not fit"),
        ("INT64", float("inf"), "inf does not fit"),
        ("FP16", 1e6, "1000000.0 does not fit: FP16 holds numbers up to 65504"),
        ("FP32", 1e39, "does not fit: FP32 holds numbers up to 3.4028e+38"),
        ("FP64", 10**400, "…"),
        ("BOOL", 2, "2 does not fit: BOOL is true or false"),
    ],
)
def test_what_does_not_fit_says_what_would(datatype: str, value: float, words: str) -> None:
    with pytest.raises(Mistake) as raised:
        cast(spec(datatype), [value])
    assert words in raised.value.message
    assert "'x' takes" in raised.value.message


def test_what_is_not_finite_is_a_float_too() -> None:
    assert cast(spec("FP16"), read("inf -inf 1").values).tolist() == [np.inf, -np.inf, 1]
    assert np.isnan(cast(spec("FP32"), np.array([np.nan]))).all()


def test_truth_is_a_word_or_a_digit() -> None:
    assert cast(spec("BOOL"), read("true False 1 0").values).tolist() == [True, False, True, False]

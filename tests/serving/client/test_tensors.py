"""What Python has goes into a model's type where nothing is lost, and comes back as it was."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bfloat16 import to_bfloat16, to_float32
from serving.client import InvalidRequest, TensorSpec
from serving.client.tensors import array_of, as_bytes, tensor_of
from serving.protocol.datatypes import BFLOAT16, DTYPES
from tests.support.wire import NUMPY, arrays, assert_same, patient

FLOATS = ("FP16", "FP32", "FP64")
WHOLE = [name for name in NUMPY if "INT" in name]


def given_to(datatype: str, value: Any) -> np.ndarray[Any, Any]:
    return tensor_of(TensorSpec("x", datatype, (-1,)), value)


def back(datatype: str, tensor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array_of("x", datatype, tensor.shape, memoryview(b"".join([as_bytes(tensor)])))


@patient
@given(st.sampled_from([name for name in NUMPY if name != "BF16"]).flatmap(
    lambda name: st.tuples(st.just(name), arrays(name))
))  # fmt: skip
def test_an_array_of_the_models_own_type_comes_back_as_it_went(case):
    datatype, array = case
    got = back(datatype, given_to(datatype, array))

    assert_same(got, array)
    assert got.flags.writeable
    assert got.flags.aligned


@patient
@given(arrays("BF16"))
def test_bfloat16_bits_come_back_as_the_floats_that_they_are(array):
    got = back("BF16", given_to("BF16", array))

    assert_same(got, to_float32(array))


@patient
@given(arrays("FP32"))
def test_floats_become_bfloat16_as_the_server_would_make_them(array):
    expected = to_bfloat16(array)
    if np.any(np.isinf(to_float32(expected)) & np.isfinite(array)):
        with pytest.raises(InvalidRequest, match="no place"):
            given_to("BF16", array)
    else:
        got = given_to("BF16", array)
        assert got.dtype == BFLOAT16
        assert_same(got, expected)


@patient
@given(st.sampled_from(WHOLE), st.lists(st.integers(-(2**65), 2**65), max_size=4), st.booleans())
def test_whole_numbers_arrive_exactly_or_not_at_all(datatype, numbers, as_floats):
    limits = np.iinfo(DTYPES[datatype])
    sent: list[Any] = [float(number) for number in numbers] if as_floats else numbers
    if all(limits.min <= int(number) <= limits.max for number in sent):
        got = given_to(datatype, sent)
        assert got.dtype == DTYPES[datatype]
        assert got.tolist() == [int(number) for number in sent]
    else:
        with pytest.raises(InvalidRequest, match=f"'x' is {datatype}"):
            given_to(datatype, sent)


@patient
@given(st.sampled_from(WHOLE), st.sampled_from(["f8", "f4", "i8", "u8", "?"]), st.data())
def test_an_array_of_another_type_arrives_exactly_or_not_at_all(datatype, other, data):
    array = data.draw(arrays({"f8": "FP64", "f4": "FP32", "i8": "INT64", "u8": "UINT64"}.get(
        other, "BOOL")))  # fmt: skip
    elements = array.ravel().tolist()
    limits = np.iinfo(DTYPES[datatype])

    def fits(number: Any) -> bool:
        whole = np.isfinite(number) and number == int(number)
        return bool(whole and limits.min <= int(number) <= limits.max)

    if all(map(fits, elements)):
        assert given_to(datatype, array).ravel().tolist() == [int(each) for each in elements]
    else:
        with pytest.raises(InvalidRequest):
            given_to(datatype, array)


@patient
@given(st.sampled_from(FLOATS), arrays("FP64"))
def test_floats_are_rounded_but_never_to_infinity(datatype, array):
    with np.errstate(all="ignore"):
        expected = array.astype(NUMPY[datatype])
    if np.any(np.isinf(expected) & np.isfinite(array)):
        with pytest.raises(InvalidRequest, match="no place"):
            given_to(datatype, array)
        with pytest.raises(InvalidRequest, match="no place"):
            given_to(datatype, array.tolist())
    else:
        assert_same(given_to(datatype, array), expected)
        if array.size:
            assert_same(given_to(datatype, array.tolist()), expected)


@pytest.mark.parametrize(
    ("datatype", "value", "expected"),
    [
        ("FP32", [[1, 2.5]], [[1.0, 2.5]]),
        ("FP32", 7, 7.0),
        ("FP32", [True, False], [1.0, 0.0]),
        ("FP64", [2**70], [2.0**70]),
        ("INT64", [1.0, 2.0], [1, 2]),
        ("INT64", np.array([3, 4], object), [3, 4]),
        ("UINT64", [0, 2**64 - 1], [0, 2**64 - 1]),
        ("BOOL", [0, 1, True], [False, True, True]),
        ("BOOL", [0.0, 1.0], [False, True]),
        ("BYTES", ["ä", b"a\0", ""], ["ä".encode(), b"a\0", b""]),
        ("BYTES", [["a"], ["b"]], [[b"a"], [b"b"]]),
        ("BYTES", np.array(["ä", "b"]), ["ä".encode(), b"b"]),
        ("BYTES", np.array([b"a", b"bc"]), [b"a", b"bc"]),
        ("BYTES", "one", b"one"),
    ],
)
def test_what_python_has_fits(datatype, value, expected):
    got = given_to(datatype, value)

    assert got.dtype == DTYPES[datatype]
    assert got.tolist() == expected


@pytest.mark.parametrize(
    ("datatype", "value", "says"),
    [
        ("FP32", "seven", "takes numbers, got str"),
        ("FP32", [1, "seven"], "takes numbers, got str"),
        ("FP32", [1, None], "takes numbers, got NoneType"),
        ("FP32", [1j], "takes numbers, got complex"),
        ("FP32", np.array(["2020-01-01"], "M8[D]"), "takes numbers, got datetime64"),
        ("FP32", [[1], [2, 3]], "cannot be made an array"),
        ("INT64", [[1.0], [2, 3]], "cannot be made an array"),
        ("FP32", [10**400], "no place"),
        ("INT64", [0.5], "no place"),
        ("INT64", [float("nan")], "no place"),
        ("INT64", [float("inf")], "no place"),
        ("INT64", np.array([np.inf]), "no place"),
        ("UINT64", [-1], "no place"),
        ("UINT64", np.array([2.0**64]), "no place"),
        ("BOOL", [2], "no place"),
        ("BF16", [3.4e38], "no place"),
        ("BYTES", [1], "takes str or bytes, got int"),
        ("BYTES", [["a"], ["b", "c"]], "takes str or bytes, got list"),
        ("BYTES", ["\ud800"], "no Unicode"),
        ("FP8", [1], "a type that is unknown here"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(datatype, value, says):
    with pytest.raises(InvalidRequest, match=says) as caught:
        given_to(datatype, value)

    assert (
        "input 'x' is" in str(caught.value)
        or "input 'x' c" in str(caught.value)
        or (datatype == "BYTES")
    )
    assert caught.value.status is None


@pytest.mark.parametrize("datatype", ["FP32", "BF16", "INT8"])
def test_an_array_that_is_not_contiguous_or_not_little_endian_goes_as_its_values(datatype):
    array = np.arange(12, dtype=">f8").reshape(3, 4).T[::2]

    assert back(datatype, given_to(datatype, array)).tolist() == array.tolist()


def test_the_bfloat16_of_frameworks_is_taken_exactly():
    ml_dtypes = pytest.importorskip("ml_dtypes")  # comes with onnx
    array = np.array([1.5, -2.25, 3e38], ml_dtypes.bfloat16)

    assert back("BF16", given_to("BF16", array)).tolist() == array.astype("f4").tolist()
    assert given_to("FP32", array).tolist() == array.astype("f4").tolist()

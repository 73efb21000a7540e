"""An input's JSON `data` to an array."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.protocol import InvalidRequest, decode
from serving.protocol.elements import kind_of
from tests.support import wire

IN_JSON = [name for name in wire.NUMPY if name not in wire.BINARY_ONLY]
each_datatype = pytest.mark.parametrize("datatype", IN_JSON)


def read(datatype: str, shape: list[int], data: object) -> wire.Array:
    """What `data` is read as; text that is JSON already is taken as it is."""
    text = data if isinstance(data, str) else json.dumps(data)
    body = wire.request(wire.tensor(datatype, shape, "DATA")).decode().replace('"DATA"', text)
    return decode(body.encode()).inputs["x"]


def refusal(datatype: str, shape: list[int], data: object) -> str:
    with pytest.raises(InvalidRequest) as refused:
        read(datatype, shape, data)
    return str(refused.value)


@each_datatype
@wire.patient
@given(data=st.data())
def test_any_tensor_comes_back_from_json_flat_or_nested(datatype, data):
    array = data.draw(wire.arrays(datatype, text=True))

    wire.assert_same(read(datatype, list(array.shape), wire.listed(array)), array)
    if array.ndim and datatype != "BYTES":
        wire.assert_same(read(datatype, list(array.shape), array.tolist()), array)


def test_byte_strings_nested():
    assert read("BYTES", [2, 1], [["a"], ["b"]]).tolist() == [[b"a"], [b"b"]]


def test_byte_strings_are_utf8_and_may_hold_nul():
    elements = ["", "a\0b", "ü€😀"]

    assert read("BYTES", [3], elements).tolist() == [text.encode() for text in elements]


def test_bare_words_that_json_has_not():
    """Triton's clients write them."""
    values = read("FP32", [3], "[NaN, Infinity, -Infinity]")

    np.testing.assert_array_equal(values, np.array([np.nan, np.inf, -np.inf], "f4"))


def test_a_bare_word_among_byte_strings_and_bools_changes_nothing_for_them():
    body = wire.request(
        wire.tensor("BYTES", [1], ["NaN"], name="a"),
        wire.tensor("BOOL", [2], [True, False], name="b"),
        wire.tensor("INT8", [2, 1], [[-1], [2]], name="c"),
        wire.tensor("FP64", [1], [float("nan")], name="d"),
    )

    inputs = decode(body).inputs

    assert inputs["a"].tolist() == [b"NaN"]
    assert inputs["b"].tolist() == [True, False]
    assert inputs["c"].tolist() == [[-1], [2]]
    assert np.isnan(inputs["d"]).tolist() == [True]


def test_an_integer_of_more_than_64_bits_is_a_float_as_javascript_writes_it():
    assert read("FP64", [1], "[100000000000000000000]").tolist() == [1e20]
    assert read("FP32", [2], f"[{2**64}, 0.5]").tolist() == [2.0**64, 0.5]


@pytest.mark.parametrize("datatype", [name for name in IN_JSON if "INT" in name])
def test_integers_to_their_limits_and_not_beyond(datatype):
    limits = np.iinfo(wire.NUMPY[datatype])

    assert read(datatype, [2], [limits.min, limits.max]).tolist() == [limits.min, limits.max]
    told = refusal(datatype, [3], [0, limits.max + 1, limits.min])
    holds = f"inputs[0].data: {datatype} holds {limits.min} to {limits.max}, got "
    assert told == holds + str(limits.max + 1)
    if limits.min:
        assert refusal(datatype, [1], [limits.min - 1]) == holds + str(limits.min - 1)
    else:
        assert refusal(datatype, [1], [-1]).endswith(f"expected {datatype} elements, got -1")


@pytest.mark.parametrize("number", ["1e300", "-1e39", "NaN, 1e300", "1" * 200])
def test_a_float_beyond_its_type_is_not_an_infinity(number):
    told = refusal("FP32", [number.count(",") + 1], f"[{number}]")

    assert told.startswith("inputs[0].data: FP32 holds -3.4028234663852886e+38 to ")


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN, 1e400"])
def test_a_number_beyond_every_type(number):
    assert "1e400 is too large a number" in refusal("FP64", [number.count(",") + 1], f"[{number}]")


def test_an_overflow_is_refused_without_the_help_of_these_tests_warning_filters():
    code = "import sys; from serving.protocol import *\ntry: decode(sys.argv[1].encode())"
    code += "\nexcept InvalidRequest: print('refused')"
    body = wire.request(wire.tensor(data=[1e300])).decode()

    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, body], capture_output=True, text=True
    )

    assert ended.stdout == "refused\n"


# --- abuse

WRONG = {
    "BOOL": ["1", "0.0", "null", '"true"', "{}"],
    "INT32": ["1.0", "1.5", "true", "null", '"1"', "{}", "NaN"],
    "UINT8": ["-1", "1.5", "true", "null", '"1"'],
    "FP32": ["true", "null", '"1"', "{}"],
    "BYTES": ["1", "1.5", "true", "null", "{}"],
}


@pytest.mark.parametrize(
    ("datatype", "element"), [(name, element) for name in WRONG for element in WRONG[name]]
)
def test_an_element_of_another_kind(datatype, element):
    shown = {"null": "nothing", "{}": "an object"}.get(element, element)
    says = f"inputs[0].data: expected {datatype} elements, got {shown}"

    assert refusal(datatype, [1], f"[{element}]") == says
    assert refusal(datatype, [1, 1], f"[[{element}]]") == says


@each_datatype
@pytest.mark.parametrize("data", ["1", "true", '"text"', "{}"])
def test_data_that_is_no_list(datatype, data):
    shown = {"{}": "an object"}.get(data, data)

    assert refusal(datatype, [1], data) == f"inputs[0].data: expected a list, got {shown}"


@each_datatype
@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_count_than_the_shapes(datatype, count):
    element = {"BOOL": True, "BYTES": "a"}.get(datatype, 1)

    told = refusal(datatype, [2, 1], [element] * count)

    assert told == f"inputs[0]: shape [2, 1] takes 2 elements, got {count}"


def test_lists_and_elements_mixed():
    assert refusal("BYTES", [2], [["a"], "b"]).endswith("lists and elements are mixed")


def test_half_precision_has_no_json_form():
    assert refusal("FP16", [1], [1.0]).endswith("FP16 has no JSON form; send it as binary data")


@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
@pytest.mark.parametrize("depth", [1500, 100_000])
@pytest.mark.parametrize("core", ["1", "NaN"])
def test_nested_too_deep(datatype, depth, core):
    """Lesson 28."""
    assert "too deep" in refusal(datatype, [1], "[" * depth + core + "]" * depth)


@pytest.mark.parametrize("text", [r"\ud800", r"\udc00\ud800", r"a\ud83d"])
@pytest.mark.parametrize("other", ["1.5", "NaN", "1" * 25])
def test_half_a_surrogate_pair_is_no_text(text, other):
    body = f'{{"id":"{text}","inputs":[{{"name":"x","datatype":"BYTES","shape":[1],'
    body += f'"data":["{text}"],"other":{other}}}]}}'

    with pytest.raises(InvalidRequest, match="not valid JSON"):
        decode(body.encode())


@pytest.mark.parametrize("value", ["x" * 10**6, "ü" * 10**6, 10**4000, [1] * 10**6])
def test_a_value_is_shown_in_a_few_words(value):
    assert len(kind_of(value)) <= 45

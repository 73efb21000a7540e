"""A request's bytes to tensors, and every way in which they can be wrong."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.protocol import InferRequest, InvalidRequest, RequestedOutput, decode
from tests.support import wire

X = wire.tensor()


def refusal(body: bytes | str, json_length: int | None = None) -> str:
    with pytest.raises(InvalidRequest) as refused:
        decode(body.encode() if isinstance(body, str) else body, json_length)
    assert len(str(refused.value)) < 1500
    return str(refused.value)


def one(data: object = (1,)) -> dict:
    return wire.tensor(data=list(data))


def test_the_least_that_a_request_can_be():
    request = decode(wire.request(one()))

    assert request == InferRequest({"x": np.ones(1, "f4")})
    assert (request.id, list(request.outputs), request.binary_outputs) == ("", [], False)


def test_all_that_a_request_can_say():
    outputs = [
        {"name": "y"},
        {"name": "z", "parameters": {"binary_data": True, "classification": 2}},
        {"name": "w", "parameters": {"binary_data": False}},
    ]
    parameters = {"binary_data_output": True, "priority": 1, "note": "n"}

    request = decode(wire.request(one(), id="7", parameters=parameters, outputs=outputs))

    assert request.id == "7"
    assert request.parameters == parameters
    assert request.binary_outputs
    assert request.outputs == [
        RequestedOutput("y", None),
        RequestedOutput("z", True, classification=2),
        RequestedOutput("w", False),
    ]


def test_what_clients_send_without_meaning_anything():
    """The C++ client sends an empty id, others null; unknown keys are nobody's business."""
    body = wire.request(
        {**one(), "parameters": None, "extra": []}, id="", outputs=[], parameters={}, model_name="m"
    )
    nulls = wire.request({**one(), "parameters": {}}, id=None, outputs=None, parameters=None)

    for request in (decode(body), decode(nulls)):
        assert (request.id, list(request.outputs), request.parameters) == ("", [], {})


def test_parameters_of_ones_own_and_those_that_ask_for_nothing():
    parameters = {"sequence_id": 0, "sequence_start": False, "sequence_end": False, "priority": 0}
    parameters |= {"temperature": 0.5, "user": "u", "Triton_": True, "headers": "h"}
    for sequence_id in (0, "", None):
        parameters["sequence_id"] = sequence_id
        assert decode(wire.request(one(), parameters=parameters)).parameters == parameters


def test_ten_thousand_outputs_are_read_in_no_time():
    """Lesson 28: each was compared with all before it."""
    outputs = [{"name": f"y{index}"} for index in range(10_000)]

    assert len(decode(wire.request(one(), outputs=outputs)).outputs) == 10_000


def test_inputs_keep_their_order_and_share_the_binary_data_in_it():
    text = wire.request(
        wire.binary_tensor("INT16", [2], 4, "a"),
        wire.tensor(data=[5], name="b"),
        wire.binary_tensor("UINT8", [0], 0, "c"),
        wire.binary_tensor("BYTES", [1], 5, "d"),
    )

    inputs = decode(*wire.followed(text, b"\1\0\2\0", b"\1\0\0\0z")).inputs

    assert {name: tensor.tolist() for name, tensor in inputs.items()} == {
        "a": [1, 2],
        "b": [5],
        "c": [],
        "d": [b"z"],
    }
    assert list(inputs) == ["a", "b", "c", "d"]


def test_a_header_on_a_body_that_is_all_json():
    """The C++ client sends it with the body's own length."""
    body = wire.request(one())

    assert decode(body, len(body)).inputs["x"].tolist() == [1]


@wire.patient
@given(data=st.data())
def test_any_tensors_come_back_from_json_and_binary_mixed(data):
    inputs, blobs, expected = [], [], {}
    for name in data.draw(st.lists(st.text(), min_size=1, max_size=4, unique=True)):
        datatype = data.draw(st.sampled_from(list(wire.NUMPY)))
        binary = datatype in wire.BINARY_ONLY or data.draw(st.booleans())
        array = data.draw(wire.arrays(datatype, text=not binary))
        shape = list(array.shape)
        expected[name] = array
        if binary:
            blobs.append(wire.serialized(array))
            inputs.append(wire.binary_tensor(datatype, shape, len(blobs[-1]), name))
        else:
            inputs.append(wire.tensor(datatype, shape, wire.listed(array), name))

    got = decode(*wire.followed(wire.request(*inputs), *blobs)).inputs

    assert list(got) == list(expected)
    for name, array in expected.items():
        wire.assert_same(got[name], array)


# --- abuse

BODIES = [
    (b"", "the body is not valid JSON: no JSON found"),
    (b"  ", "the body is not valid JSON: no JSON found"),
    (b"null", "the request must be a JSON object, got nothing"),
    (b"[]", "the request must be a JSON object, got an empty list"),
    (b"NaN", "the request must be a JSON object, got NaN"),
    (b'"text"', 'the request must be a JSON object, got "text"'),
    (b'{"inputs":"\xff"}', "the JSON is not valid UTF-8"),
    (b"{}", "inputs: expected a list of tensors, got nothing"),
]


@pytest.mark.parametrize(("body", "says"), BODIES)
def test_a_body_that_is_no_request(body, says):
    """Lesson 26."""
    assert refusal(body) == says


@pytest.mark.parametrize(
    "body", [b"{", b'{"inputs":[}', b"{'inputs':1}", b'{"a":01}', b"{} {}", b"\0", b'{"a":NaN']
)
def test_json_that_is_malformed(body):
    """Lesson 26."""
    assert refusal(body).startswith("the body is not valid JSON: ")


@pytest.mark.parametrize("bracket", ["[", '{"a":', '{"inputs":['])
@pytest.mark.parametrize("core", ["", "NaN"])
def test_100_000_brackets(bracket, core):
    """Lesson 28."""
    refusal(bracket * 100_000 + core)
    refusal("[" * 100_000 + core + "]" * 100_000)


FIELDS = [
    ("inputs", {"inputs": 5}, "expected a list of tensors, got 5"),
    ("inputs", {"inputs": []}, "expected a list of tensors, got an empty list"),
    ("inputs", {"inputs": {"x": 1}}, "expected a list of tensors, got an object"),
    ("inputs[0]", {"inputs": [1]}, "expected an object, got 1"),
    ("inputs[1]", {"inputs": [one(), None]}, "expected an object, got nothing"),
    ("inputs[0].name", {"inputs": [{**one(), "name": 1}]}, "expected a text, got 1"),
    ("inputs[0].name", {"inputs": [{"shape": [1]}]}, "expected a text, got nothing"),
    ("inputs[0].datatype", {"inputs": [{**one(), "datatype": 1}]}, "BYTES, got 1"),
    ("inputs[0].datatype", {"inputs": [{**one(), "datatype": "FP8"}]}, 'BYTES, got "FP8"'),
    ("inputs[0].datatype", {"inputs": [{**one(), "datatype": "FP64 "}]}, "expected one of BOOL, "),
    ("inputs[0].data", {"inputs": [{**one(), "datatype": "FP16"}]}, "FP16 has no JSON form; send"),
    ("inputs[0].data", {"inputs": [{**one(), "datatype": "BF16"}]}, "BF16 has no JSON form; send"),
    ("inputs[0].data", {"inputs": [{**one(), "data": {}}]}, "expected a list, got an object"),
    ("inputs[0].parameters", {"inputs": [{**one(), "parameters": 1}]}, "expected an object, got 1"),
    ("inputs[1].name", {"inputs": [one(), one()]}, '"x" is there twice'),
    ("id", {"id": 7}, "expected a text, got 7"),
    ("parameters", {"parameters": []}, "expected an object, got an empty list"),
    ("parameters.binary_data_output", {"parameters": {"binary_data_output": 1}}, "got 1"),
    ("outputs", {"outputs": "y"}, 'expected a list, got "y"'),
    ("outputs[0]", {"outputs": ["y"]}, 'expected an object, got "y"'),
    ("outputs[0].name", {"outputs": [{}]}, "expected a text, got nothing"),
    ("outputs[1].name", {"outputs": [{"name": "y"}, {"name": "y"}]}, '"y" is there twice'),
    ("outputs[0].parameters", {"outputs": [{"name": "y", "parameters": 1}]}, "an object, got 1"),
    *(
        (
            "outputs[0].parameters.classification",
            {"outputs": [{"name": "y", "parameters": {"classification": most}}]},
            "expected a whole number of at least 1, got ",
        )
        for most in (0, -1, 1.5, True, "1", [], 2**64)
    ),
    (
        "outputs[0].parameters.shared_memory_region",
        {"outputs": [{"name": "y", "parameters": {"shared_memory_region": "r"}}]},
        "shared memory is not supported",
    ),
    (
        "inputs[0].parameters.shared_memory_region",
        {"inputs": [{**one(), "parameters": {"shared_memory_region": "r"}}]},
        "shared memory is not supported",
    ),
    ("parameters", {"parameters": {"triton_x": 1}}, '"triton_x" is reserved'),
    ("parameters", {"parameters": {"a": 1, "triton_": None}}, '"triton_" is reserved'),
    *(
        (f"parameters.{key}", {"parameters": {key: value}}, "sequences are not supported")
        for key, value in [
            ("sequence_id", 7),
            ("sequence_id", "s"),
            ("sequence_start", True),
            ("sequence_end", True),
        ]
    ),
    (
        "outputs[0].parameters.binary_data",
        {"outputs": [{"name": "y", "parameters": {"binary_data": "yes"}}]},
        'expected true or false, got "yes"',
    ),
]


@pytest.mark.parametrize(("field", "change", "says"), FIELDS)
@pytest.mark.parametrize("other", [1, float("nan")], ids=["", "beside NaN"])
def test_a_field_of_another_kind_is_named_with_what_was_expected_and_what_came(
    field, change, says, other
):
    """Lesson 26. NaN has a parser of its own."""
    told = refusal(json.dumps({"inputs": [one()], **change, "other": other}))

    assert told.startswith(f"{field}: ")
    assert says in told


HUGE = "n" * 2**20
HUGE_FIELDS = [
    {"inputs": HUGE},
    {"inputs": [HUGE]},
    {"inputs": [{**one(), "name": HUGE}] * 2},
    *({"inputs": [{**one(), key: HUGE}]} for key in ("datatype", "shape", "data", "parameters")),
    {"inputs": [{**one(), "data": [HUGE]}]},
    {"id": [HUGE]},
    {"parameters": HUGE},
    {"parameters": {"binary_data_output": HUGE}},
    {"outputs": HUGE},
    {"outputs": [HUGE]},
    {"outputs": [{"name": HUGE}] * 2},
    {"outputs": [{"name": "y", "parameters": HUGE}]},
    {"outputs": [{"name": "y", "parameters": {"binary_data": HUGE}}]},
]


@pytest.mark.parametrize("change", HUGE_FIELDS, ids=range(len(HUGE_FIELDS)))
def test_a_megabyte_in_a_field_does_not_come_back(change):
    assert len(refusal(json.dumps({"inputs": [one()], **change}))) < 250


SHAPES = [5, "1", None, {}, [-1], [1.0], [1.5], [True], ["1"], [None], [[1]], [1] * 33, [2**63]]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_that_is_none(shape):
    told = refusal(wire.request(wire.tensor(shape=shape, data=[1])))

    assert told.startswith("inputs[0].shape: expected a list of at most 32 whole numbers, got ")


@pytest.mark.parametrize("shape", [[2**62, 4], [2**32, 2**32], [2**63 - 1] * 32, [10**4000] * 32])
@pytest.mark.parametrize("number", [1, float("nan")])
def test_sizes_whose_product_overflows(shape, number):
    """Lesson 28."""
    assert "shape" in refusal(wire.request(wire.tensor(shape=shape, data=[number])))


def test_32_dimensions_and_sizes_that_no_memory_has():
    assert decode(wire.request(wire.tensor(shape=[1] * 32, data=[1]))).inputs["x"].ndim == 32
    empty = decode(wire.request(wire.tensor(shape=[0, 10**18], data=[]))).inputs["x"]
    assert empty.shape == (0, 10**18)


# --- abuse of binary data


def test_both_data_and_binary_data_or_neither():
    both = {**wire.binary_tensor("FP32", [1], 4), "data": [1]}

    told = "inputs[0]: give either data or parameters.binary_data_size, "
    assert refusal(*wire.followed(wire.request(both), bytes(4))) == told + "not both"
    assert refusal(wire.request(X)) == told + "neither is there"
    assert refusal(wire.request({**X, "parameters": {}})) == told + "neither is there"


@pytest.mark.parametrize("size", [-1, 1.5, "4", True, [], {}])
def test_a_binary_data_size_that_is_none(size):
    text = wire.request(wire.binary_tensor("FP32", [1], size))

    assert refusal(*wire.followed(text, bytes(4))).startswith(
        "inputs[0].parameters.binary_data_size: got "
    )


def test_binary_data_missing_left_over_or_of_another_size():
    text = wire.request(wire.binary_tensor("FP32", [1], 4))

    missing = "inputs[0]: 4 bytes of binary data are announced, "
    assert refusal(text) == missing + "0 are left"
    assert refusal(*wire.followed(text, b"123")) == missing + "3 are left"
    left = refusal(*wire.followed(text, b"12345"))
    assert left == "1 bytes are left after the last input's binary data"
    wrong = refusal(*wire.followed(wire.request(wire.binary_tensor("FP32", [1], 5)), b"12345"))
    assert wrong == "inputs[0]: shape [1] of FP32 takes 4 bytes, got 5"


@pytest.mark.parametrize("beyond", [1, 10**17])
def test_a_header_that_is_longer_than_the_body(beyond):
    body = wire.request(one())

    told = refusal(body, len(body) + beyond)

    assert told.endswith(f"which is not within the body's {len(body)} bytes")
    refusal(body, -1)
    refusal(body, 0)
    refusal(body, len(body) - 1)

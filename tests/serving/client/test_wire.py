"""The client's bytes are what the server reads, and the server's what the client reads."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serving.client import InvalidRequest, ModelMetadata, ServerFailed, TensorSpec
from serving.client.metadata import metadata_in, states_in
from serving.client.wire import Question, decode, encode, inputs_of
from serving.protocol import InferRequest
from serving.protocol import decode as served_decode
from serving.protocol import encode as served_encode
from tests.support.wire import NUMPY, arrays, assert_same, patient

named_arrays = st.dictionaries(
    st.text(max_size=5),
    st.sampled_from([name for name in NUMPY if name != "BF16"]).flatmap(
        lambda name: st.tuples(st.just(name), arrays(name, text=True))
    ),
    min_size=1,
    max_size=3,
)


def model(**datatypes: str) -> ModelMetadata:
    specs = tuple(TensorSpec(name, datatype, (-1,)) for name, datatype in datatypes.items())
    return ModelMetadata("m", ("1",), "", specs, ())


@patient
@given(named_arrays)
def test_the_server_reads_what_the_client_writes(tensors):
    metadata = model(**{name: datatype for name, (datatype, _) in tensors.items()})
    inputs = {name: array for name, (_, array) in tensors.items()}
    body = encode(Question("m", inputs, outputs=["y", "z"], priority=2, request_id="it"), metadata)

    request = served_decode(body.content, body.json_length)

    assert request.id == "it"
    assert request.priority == 2
    assert [(output.name, output.binary) for output in request.outputs] == [
        ("y", True),
        ("z", True),
    ]
    assert list(request.inputs) == list(inputs)
    for name, array in inputs.items():
        assert_same(request.inputs[name], array)


def test_all_outputs_are_asked_for_as_bytes_where_none_is_named():
    body = encode(Question("m", {"x": [1]}), model(x="FP32"))

    assert served_decode(body.content, body.json_length).binary_outputs


@patient
@given(named_arrays, st.booleans())
def test_the_client_reads_what_the_server_writes(tensors, binary):
    outputs = {
        name: array
        for name, (datatype, array) in tensors.items()
        # JSON's words for them come back, their signs and payloads need not
        if binary
        or (datatype != "FP16" and not (array.dtype.kind == "f" and np.isnan(array).any()))
    }
    assume(outputs)
    request = InferRequest({}, id="it", binary_outputs=binary)
    encoded = served_encode("m", "3", request, outputs)

    answer = decode(encoded.body, encoded.json_length, "")

    assert (answer.model, answer.version, answer.id) == ("m", "3", "it")
    assert list(answer) == list(outputs)
    for name, array in outputs.items():
        assert_same(answer[name], array)


def test_numbers_that_json_has_not_are_read():
    encoded = served_encode(
        "m", "1", InferRequest({}), {"y": np.array([np.nan, np.inf, -np.inf, 1], np.float32)}
    )

    got = decode(encoded.body, None, "")["y"]

    np.testing.assert_array_equal(got, [np.nan, np.inf, -np.inf, 1])


WHOLE = served_encode(
    "m",
    "1",
    InferRequest({}, binary_outputs=True),
    {"y": np.arange(4, dtype="f4"), "t": np.array([b"ab", b"c"], object)},
)


@patient
@given(st.data())
def test_no_reply_whatever_it_is_raises_anything_but_one_error(data):
    content = bytearray(WHOLE.body)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    length = data.draw(st.sampled_from([WHOLE.json_length, None, 0, 10**9]))
    with suppress(ServerFailed):
        decode(bytes(content), length, "")


@pytest.mark.parametrize(
    "document",
    [
        [], {}, {"outputs": 1}, {"outputs": [{}]}, {"outputs": None},
        {"outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1]}]},
        {"outputs": [{"name": "y", "datatype": "FP9", "shape": [1], "data": [1]}]},
        {"outputs": [{"name": "y", "datatype": "BYTES", "shape": [1], "data": [1]}]},
        {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": ["a"]}]},
        {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1],
                      "parameters": {"binary_data_size": 4}}]},
        {"outputs": [{"name": "y", "datatype": "FP32", "shape": [1],
                      "parameters": {"binary_data_size": -4}}]},
        {"outputs": [{"name": "y", "datatype": "FP32", "shape": [-1], "data": []}]},
    ],
)  # fmt: skip
def test_a_reply_that_is_none_is_the_servers_failure(document):
    with pytest.raises(ServerFailed):
        decode(json.dumps(document).encode(), None, "")


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "takes the inputs 'a', 'b'; got none"),
        ({"a": 1}, "got 'a'"),
        ({"a": 1, "c": 1}, "got 'a', 'c'"),
        ({"a": 1, "b": 2, "c": 1}, "got 'a', 'b', 'c'"),
    ],
)
def test_inputs_of_other_names_are_refused(inputs, says):
    with pytest.raises(InvalidRequest, match=says):
        encode(Question("m", inputs), model(a="FP32", b="FP32"))


def test_an_id_that_json_cannot_have_is_refused():
    with pytest.raises(InvalidRequest, match="JSON"):
        encode(Question("m", {"x": 1}, request_id="\ud800"), model(x="FP32"))


def test_inputs_may_be_a_mapping_or_arguments_and_no_name_twice():
    assert inputs_of({"a": 1}, {"b": 2}) == {"a": 1, "b": 2}
    assert inputs_of(None, {"b": 2}) == {"b": 2}
    with pytest.raises(InvalidRequest, match="given twice: 'a'"):
        inputs_of({"a": 1}, {"a": 2})
    with pytest.raises(InvalidRequest, match="a mapping of names to values, got list"):
        inputs_of([1], {})  # type: ignore[arg-type]


# --- metadata


def test_metadata_is_read_as_any_server_writes_it():
    document: dict[str, Any] = {
        "name": "m",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": ["-1", "2"]}],
        "outputs": [],
    }

    got = metadata_in(orjson.dumps(document))

    assert got == ModelMetadata("m", (), "", (TensorSpec("x", "FP32", (-1, 2)),), ())


def test_states_are_read_with_what_is_missing():
    got = states_in(b'[{"name": "a"}, {"name": "b", "version": "1", "state": "READY"}]')

    assert [(each.name, each.version, each.state, each.ready) for each in got] == [
        ("a", "", "", False),
        ("b", "1", "READY", True),
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'{"name": "m"}', b'{"inputs": [1]}'])
def test_metadata_that_is_none_is_the_servers_failure(body):
    with pytest.raises(ServerFailed):
        metadata_in(body)


@pytest.mark.parametrize("body", [b"", b"1", b"{}x", b"[1]", b'[{"version": "1"}]'])
def test_an_index_that_is_none_is_the_servers_failure(body):
    with pytest.raises(ServerFailed):
        states_in(body)

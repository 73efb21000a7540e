"""What is known of a request by what is around its numbers is what reading it would tell."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.protocol import InferRequest, InvalidRequest, decode, envelope_of
from tests.support import wire


def learned(body: bytes, json_length: int | None = None):
    return envelope_of(body, json_length, decode(body, json_length))


def facts(request: InferRequest):
    """All of a request, in a form that can be compared."""
    return (
        {name: (str(t.dtype), t.shape, wire.serialized(t)) for name, t in request.inputs.items()},
        request.id,
        list(request.outputs),
        request.binary_outputs,
        request.parameters,
        request.timeout_s,
        request.priority,
    )


def said(read, *what):
    """The facts, or the words of the refusal."""
    try:
        request = read(*what)
    except InvalidRequest as error:
        return str(error)
    return facts(request) if request else None


def opened_by(envelope, body: bytes) -> InferRequest | None:
    """What it makes of a request that ends with the body."""
    inputs = envelope.opened(b"head" + body, 4)
    return None if inputs is None else replace(envelope.like, inputs=inputs)


def agrees(envelope, body: bytes, json_length: int | None) -> bool:
    """It says of the body what reading it says, or nothing; whether it has said something."""
    opened = said(partial(opened_by, envelope), body)
    if opened is None:
        return False
    assert opened == said(decode, body, json_length)
    return True


more = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=5),
        "parameters": st.fixed_dictionaries(
            {},
            optional={
                "timeout": st.integers(0, 10**9),
                "priority": st.integers(0, 9),
                "binary_data_output": st.booleans(),
            },
        ),
        "outputs": st.just([{"name": "y"}, {"name": "z", "parameters": {"binary_data": True}}]),
    },
)
numeric = st.sampled_from(
    [name for name in wire.NUMPY if name not in ("BOOL", "BYTES", "FP16", "BF16")]
)


@settings(wire.patient, max_examples=200)
@given(data=st.data(), datatype=numeric, more=more, nested=st.booleans())
def test_other_numbers_in_the_same_json(data, datatype, more, nested):
    first, other = data.draw(wire.arrays(datatype)), data.draw(wire.arrays(datatype))
    bodies = []
    for array in (first, np.resize(other, first.shape)):
        values = array.tolist() if nested else wire.listed(array)
        bodies.append(wire.request(wire.tensor(datatype, list(first.shape), values), **more))
    try:
        envelope = learned(bodies[0])
    except InvalidRequest:
        return  # it was none
    if envelope is not None:
        agrees(envelope, bodies[0], None)
        agrees(envelope, bodies[1], None)


BODY = wire.request(
    wire.tensor("FP32", [2, 2], [1, 2.5, -3e5, 4], name="data"), id="a", parameters={"priority": 2}
)
NASTY = [b"]", b"[", b",", b"1", b"]},{", b'"data":[', b"NaN", b"1e999", b"null", b"\\", b'"', b" "]


@settings(wire.patient, max_examples=500)
@given(
    at=st.integers(0, len(BODY)),
    gone=st.integers(0, 8),
    put=st.lists(st.sampled_from(NASTY), max_size=4).map(b"".join) | st.binary(max_size=8),
)
def test_some_bytes_changed(at, gone, put):
    envelope = learned(BODY)
    agrees(envelope, BODY[:at] + put + BODY[at + gone :], None)


def test_only_what_is_between_the_brackets_may_differ():
    envelope = learned(BODY)

    assert agrees(envelope, BODY.replace(b"2.5", b"7"), None)
    assert agrees(envelope, BODY.replace(b"2.5", b'"7"'), None)  # the same refusal
    assert agrees(envelope, BODY.replace(b"1, 2.5", b"[1, 2.5]").replace(b"1e", b"2e"), None)
    assert not agrees(envelope, BODY.replace(b'"a"', b'"b"'), None)
    assert not agrees(envelope, BODY.replace(b"[2, 2]", b"[1, 4]"), None)
    assert not agrees(envelope, BODY.replace(b"2.5", b'2], "shape": [9'), None)


@settings(wire.patient, max_examples=200)
@given(
    data=st.data(), datatypes=st.lists(st.sampled_from(list(wire.NUMPY)), min_size=1, max_size=3)
)
def test_other_bytes_behind_the_same_json(data, datatypes):
    arrays = [data.draw(wire.arrays(datatype)) for datatype in datatypes]
    blobs = [wire.serialized(array) for array in arrays]
    text = wire.request(
        *(
            wire.binary_tensor(datatype, list(array.shape), len(blob), name=f"x{number}")
            for number, (datatype, array, blob) in enumerate(
                zip(datatypes, arrays, blobs, strict=True)
            )
        )
    )
    body, length = wire.followed(text, *blobs)
    envelope = learned(body, length)
    if envelope is None:
        assert "BYTES" in datatypes
        return

    assert agrees(envelope, body, length)
    others = data.draw(st.binary(min_size=len(body) - length, max_size=len(body) - length))
    assert agrees(envelope, text + others, length)
    assert not agrees(envelope, text + others + b"\0", length)


@pytest.mark.parametrize(
    "inputs",
    [
        [wire.tensor("BOOL", [1], [True])],
        [wire.tensor("BYTES", [1], ["x"])],
        [wire.tensor("FP32", [0], [])],
        [wire.tensor("FP32", [1], [1]), wire.tensor("FP32", [1], [1], name="y")],
        [wire.tensor("FP32", [1], [1], parameters={"data": [2]})],
    ],
)
def test_what_it_does_not_look_at_is_read_as_ever(inputs):
    assert learned(wire.request(*inputs)) is None


def test_a_key_spelled_otherwise_is_read_as_ever():
    body = BODY.replace(b'"data": [', b'"d\\u0061ta": [').replace(b'"priority"', b'"data"')

    assert learned(body) is None


def test_json_beside_bytes_is_read_as_ever():
    text = wire.request(
        wire.tensor("FP32", [1], [1.0]), wire.binary_tensor("FP32", [1], 4, name="y")
    )

    assert learned(*wire.followed(text, b"\0\0\0\0")) is None


def test_it_keeps_nothing_of_the_numbers():
    body = json.dumps({"inputs": [wire.tensor("FP32", [1000], [0.125] * 1000)]}).encode()
    envelope = learned(body)

    assert len(envelope.before) + len(envelope.behind) < 100
    assert envelope.like.inputs == {}


@pytest.mark.parametrize("behind", [b"", b"\0\0\0\0"])
def test_what_is_long_around_them_is_not_kept(behind):
    big = {"parameters": {"padding": "x" * 10_000}}
    tensor = wire.binary_tensor("FP32", [1], 4) if behind else wire.tensor("FP32", [1], [1.0])
    body, length = wire.followed(wire.request(tensor, **big), behind)

    assert learned(body, length if behind else None) is None

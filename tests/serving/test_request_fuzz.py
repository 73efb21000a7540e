"""Whatever the bytes: `decode` reads them or raises InvalidRequest, and nothing else."""

import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.protocol import InvalidRequest, decode
from tests.support import wire


def survives(body: bytes, json_length: int | None) -> None:
    """The body is a request or is refused; no other exception leaves `decode`."""
    with suppress(InvalidRequest):
        assert decode(body, json_length).inputs


@settings(wire.patient, max_examples=300)
@given(body=st.binary(), json_length=st.none() | st.integers(-1, 100))
def test_any_bytes_are_a_request_or_are_refused(body, json_length):
    survives(body, json_length)


GOOD = wire.request(
    wire.tensor(data=[1]), wire.binary_tensor("BYTES", [1], 5, "b"), id="i", outputs=[{"name": "y"}]
)


@settings(wire.patient, max_examples=500)
@given(at=st.integers(0, len(GOOD)), gone=st.integers(0, 8), put=st.binary(max_size=8))
def test_a_request_with_some_bytes_changed_is_a_request_or_is_refused(at, gone, put):
    text = GOOD[:at] + put + GOOD[at + gone :]
    survives(*wire.followed(text, b"\1\0\0\0z"))
    survives(text, None)


leaf = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-1, 5)
    | st.sampled_from([2**62, 2**63, 2**64, 10**400])
    | st.floats()
    | st.text()
)
anything = st.recursive(
    leaf, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4
)
sizes = st.lists(st.integers(0, 3) | leaf, max_size=3) | anything
an_input = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text() | anything,
        "datatype": st.sampled_from(list(wire.NUMPY)) | anything,
        "shape": sizes,
        "data": st.lists(leaf) | anything,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": leaf}) | anything,
    },
)
an_output = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text() | anything,
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data": leaf, "classification": leaf}
        )
        | anything,
    },
)
known = st.sampled_from(["binary_data_output", "timeout", "priority", "sequence_id", "triton_x"])
a_request = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.lists(an_input | anything, min_size=1, max_size=3) | anything,
        "id": leaf,
        "parameters": st.dictionaries(known | st.text(), leaf) | anything,
        "outputs": st.lists(an_output | anything) | anything,
    },
)


@settings(wire.patient, max_examples=150)
@given(document=a_request, tail=st.binary(max_size=16))
def test_json_that_resembles_a_request_is_one_or_is_refused(document, tail):
    text = json.dumps(document).encode()
    survives(text, None)
    survives(*wire.followed(text, tail))

"""Requests and replies as a client writes and reads them."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cli.spec import Spec
from serving.cli.wire import Target, from_wire, reply_of, request_of, to_wire
from serving.protocol import decode
from tests.support.wire import NUMPY, Array, arrays, assert_same, listed, patient, serialized

# Brain floats are numbers here, and bits there.
ANY = st.sampled_from(sorted(NUMPY.keys() - {"BF16"})).flatmap(
    lambda datatype: st.tuples(st.just(datatype), arrays(datatype))
)


@patient
@given(ANY, st.none() | st.integers(1, 10), st.booleans())
def test_the_server_reads_what_we_write(
    tensor: tuple[str, Array], priority: int | None, as_json: bool
) -> None:
    datatype, array = tensor
    spec = Spec("x", datatype, array.shape)
    target = Target("", [spec], [Spec("y", "FP16", (-1,)), Spec("z", "FP32", (-1,))])

    head, blobs = request_of(target, {"x": array}, priority=priority, as_json=as_json)
    request = decode(b"".join((head, *blobs)), len(head))

    assert_same(request.inputs["x"], array)
    assert request.priority == (priority or 0)
    assert [output.binary for output in request.outputs] == [True, not as_json]


@patient
@given(ANY)
def test_a_tensor_comes_back_from_its_bytes(tensor: tuple[str, Array]) -> None:
    datatype, array = tensor
    document = {
        "outputs": [
            {
                "name": "y",
                "datatype": datatype,
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(serialized(array))},
            }
        ]
    }
    head = json.dumps(document).encode()

    filled, (output,) = reply_of(head + serialized(array), len(head))

    assert_same(output.array, array)
    assert "parameters" not in filled["outputs"][0]
    assert len(filled["outputs"][0]["data"]) == array.size


@patient
@given(ANY.filter(lambda tensor: tensor[0] != "BYTES"))
def test_and_from_its_json(tensor: tuple[str, Array]) -> None:
    datatype, array = tensor
    output = {
        "name": "y",
        "datatype": datatype,
        "shape": [str(size) for size in array.shape],
        "data": listed(array),
    }
    body = json.dumps({"outputs": [output]}).encode()

    assert_same(reply_of(body, len(body))[1][0].array, array)


@patient
@given(st.floats(width=32))
def test_a_brain_float_is_the_nearest_that_there_is(value: float) -> None:
    array = np.array([value], np.float32)

    (near,) = from_wire("BF16", to_wire("BF16", array)).tolist()

    if np.isnan(value):
        assert np.isnan(near)
    elif np.isinf(near):
        assert abs(value) > 3.38e38
    else:
        assert near == pytest.approx(value, rel=2**-8, abs=1e-40)


def test_brain_floats_round_to_even() -> None:
    exact = np.array([1.0, -2.5, 0.0, np.inf], np.float32)
    assert_same(from_wire("BF16", to_wire("BF16", exact)), exact)
    halfway = np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32)
    assert from_wire("BF16", to_wire("BF16", halfway)).tolist() == [1, 1 + 2 * 2**-7]


@pytest.mark.parametrize("data", [b"\x01", struct.pack("<I", 5) + b"four"])
def test_texts_that_are_cut_off(data: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        from_wire("BYTES", data)

"""A body that is one input, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.protocol import InvalidRequest, RawInput, decode_raw
from tests.support import wire


def refusal(body: bytes, *inputs: RawInput) -> str:
    with pytest.raises(InvalidRequest) as refused:
        decode_raw(body, inputs)
    return str(refused.value)


NUMBERS = [name for name in wire.NUMPY if name != "BYTES"]


@wire.patient
@given(data=st.data())
def test_any_numbers_fill_the_shape_that_the_model_has(data):
    datatype = data.draw(st.sampled_from(NUMBERS))
    array = data.draw(wire.arrays(datatype))
    shape = list(array.shape)
    # Without an element in one row of the others, its length tells nothing of an axis.
    if shape and data.draw(st.booleans()):
        axis = data.draw(st.integers(0, len(shape) - 1))
        if all(size for index, size in enumerate(shape) if index != axis):
            shape[axis] = -1

    request = decode_raw(array.tobytes(), [RawInput("x", datatype, tuple(shape))])

    wire.assert_same(request.inputs["x"], array)
    assert request.binary_outputs
    assert (request.id, list(request.outputs), request.timeout_s) == ("", [], None)


@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, -1), ()])
@pytest.mark.parametrize("body", [b"", b"a text", b"\0\xff" * 1000])
def test_the_body_is_the_one_byte_string_that_is_asked_for(shape, body):
    tensor = decode_raw(body, [RawInput("x", "BYTES", shape)]).inputs["x"]

    assert tensor.shape == tuple(map(abs, shape))
    assert tensor.ravel().tolist() == [body]


def test_the_tensor_is_a_view_of_the_body():
    body = np.arange(4, dtype="<f4").tobytes()

    tensor = decode_raw(body, [RawInput("x", "FP32", (1, 4))]).inputs["x"]

    assert np.may_share_memory(tensor, np.frombuffer(body, "u1"))


# --- abuse

X, Y = RawInput("x", "FP32", (1, 2)), RawInput("y", "FP32", (1, 2))


@pytest.mark.parametrize("inputs", [(), (X, Y)])
def test_a_model_of_another_number_of_inputs(inputs):
    told = refusal(bytes(8), *inputs)

    assert told.startswith("Inference-Header-Content-Length is 0, so that the whole body is the")
    assert told.endswith(f"a model with one input, and this one's are {[i.name for i in inputs]}")


@pytest.mark.parametrize(
    ("given_", "size", "says"),
    [
        (RawInput("x", "FP32", (1, -1, -1)), 8, "the body's length tells one size, not more"),
        (RawInput("x", "BYTES", (1, -1, -1)), 8, "the body's length tells one size, not more"),
        (RawInput("x", "BYTES", (1, 2)), 8, "has shape [1, 2], and the body is one element"),
        (RawInput("x", "BYTES", (1, 0)), 0, "has shape [1, 0], and the body is one element"),
        (X, 7, "shape [1, 2] of FP32 takes 8 bytes, got 7"),
        (X, 0, "shape [1, 2] of FP32 takes 8 bytes, got 0"),
        (RawInput("x", "FP32", (1, -1)), 7, "7 bytes do not fill shape [1, -1] of FP32"),
        (RawInput("x", "FP32", (1, 3, -1)), 16, "16 bytes do not fill shape [1, 3, -1] of FP32"),
        (RawInput("x", "FP32", (1, 0, -1)), 4, "shape [1, 0, 0] of FP32 takes 0 bytes, got 4"),
        (RawInput("x", "BOOL", (1, 8)), 8, "BOOL takes the bytes 0 and 1, got 2"),
    ],
)
def test_a_body_that_does_not_fill_the_input(given_, size, says):
    told = refusal(b"\2" * size, given_)

    assert told.endswith(says)
    assert "'x'" in told

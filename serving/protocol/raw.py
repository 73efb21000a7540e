"""A raw binary request: no JSON, the whole body is the model's only input."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from .datatypes import DTYPES, Array, bytes_array, tensor_from_bytes
from .errors import InvalidRequest
from .request import InferRequest


class RawInput(NamedTuple):
    """An input as the body has to fill it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1 for an axis of any size. Of a batch there is one row."""


def decode_raw(body: bytes, inputs: Sequence[RawInput]) -> InferRequest:
    """The request that a body without any JSON is; all outputs are to be sent as bytes.

    inputs: all that the model has. Raises InvalidRequest if there is more than one, or
    the body's bytes do not tell its shape, or do not fill it. The tensor may be a view
    into `body`.
    """
    if len(inputs) != 1:
        names = [one.name for one in inputs]
        raise _not_so(f"it takes a model with one input, and this one's are {names}")
    (only,) = inputs
    return InferRequest({only.name: _tensor(body, only)}, binary_outputs=True)


def _tensor(body: bytes, only: RawInput) -> Array:
    dtype, free = DTYPES[only.datatype], only.shape.count(-1)
    if free > 1:
        raise _not_so(
            f"input {only.name!r} has shape {list(only.shape)}, "
            "of which the body's length tells one size, not more"
        )
    if dtype.hasobject:
        shape = tuple(1 if size < 0 else size for size in only.shape)
        if prod(shape) != 1:
            raise _not_so(
                f"input {only.name!r} has shape {list(only.shape)}, and the body is one element"
            )
        return bytes_array([bytes(body)]).reshape(shape)
    each = prod(size for size in only.shape if size >= 0) * dtype.itemsize
    if free and each and len(body) % each:
        raise InvalidRequest(
            f"input {only.name!r}: the body's {len(body)} bytes do not fill "
            f"shape {list(only.shape)} of {only.datatype}"
        )
    any_size = len(body) // each if each else 0
    shape = tuple(any_size if size < 0 else size for size in only.shape)
    return tensor_from_bytes(f"input {only.name!r}", only.datatype, shape, memoryview(body))


def _not_so(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"Inference-Header-Content-Length is 0, so that the whole body is the input: {reason}"
    )

"""A request that differs from an earlier one in its numbers only.

Callers who stay send the same names, shapes and parameters again and again. What is around
the numbers is compared, byte for byte, instead of being read again: what it says is known.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import simdjson

from .datatypes import DTYPES, Array, datatype_of, tensor_from_bytes
from .elements import floats, from_json
from .request import InferRequest

_DATA = re.compile(rb'"data"\s*:\s*')
MAX_BYTES = 8192
"""Around the numbers. Where there is more, it is read each time."""

_BRACKETS = re.compile(rb"[][]")
_NUMBERS = frozenset("fiu")
_FLOATS = {name: DTYPES[name] for name in ("FP32", "FP64")}


class _Place(NamedTuple):
    """Where an input's bytes are, behind the JSON."""

    where: str
    """What a refusal calls it."""
    name: str
    datatype: str
    shape: tuple[int, ...]
    first: int
    end: int
    """In bytes from the body's beginning; for numbers in the JSON, from its end."""


@dataclass(slots=True)
class Envelope:
    """What is around the numbers of a request, and the request that it made."""

    before: bytes
    behind: bytes
    size: int
    """Bytes of the whole body, where they are always as many; 0 where they are not."""
    numbers: _Place | None
    """The input whose numbers are in the JSON between the two; None where all are behind it."""
    places: Sequence[_Place]
    like: InferRequest
    """What else the request says; it has no inputs."""

    def opened(self, data: bytes, at: int = 0) -> dict[str, Array] | None:
        """The inputs that `decode` would find in the body; None if its envelope is another one.

        data: what ends with the body. at: where that begins.
        Raises InvalidRequest, as `decode` does, for numbers that do not fit.
        """
        if not data.startswith(self.before, at):
            return None
        numbers = self.numbers
        if numbers is None:
            return self._cut(memoryview(data)[at:])
        if not data.endswith(self.behind):
            return None
        where, name, datatype, shape, first, end = numbers
        try:
            array = simdjson.Parser().parse(data[at + first : len(data) - end])
        except (ValueError, RuntimeError):
            return None
        # Where it is an array by itself, it is one where it stands, and no more than that.
        if type(array) is not simdjson.Array:
            return None
        tensor = None
        if (dtype := _FLOATS.get(datatype)) is not None:
            tensor = floats(array, dtype, shape)
        if tensor is None:
            tensor = from_json(where, datatype, shape, array)
        return {name: tensor}

    def _cut(self, body: memoryview) -> dict[str, Array] | None:
        if len(body) != self.size:
            return None
        return {
            name: tensor_from_bytes(where, datatype, shape, body[first:end])
            for where, name, datatype, shape, first, end in self.places
        }


def envelope_of(body: bytes, json_length: int | None, request: InferRequest) -> Envelope | None:
    """The envelope of a request that `decode` has made of a body; None where it is of no use."""
    like = InferRequest(
        {},
        request.id,
        request.outputs,
        request.binary_outputs,
        request.parameters,
        request.timeout_s,
        request.priority,
    )
    if json_length:
        if json_length > MAX_BYTES:
            return None
        return _around_bytes(body, json_length, request.inputs, like)
    if json_length is None and len(request.inputs) == 1:
        return _around_json(body, request.inputs, like)
    return None


def _around_bytes(
    body: bytes, json_length: int, inputs: dict[str, Array], like: InferRequest
) -> Envelope | None:
    places: list[_Place] = []
    at = json_length
    for name, tensor in inputs.items():
        if tensor.dtype.hasobject:
            return None  # texts are as long as they like
        end = at + tensor.nbytes
        where, datatype = f"inputs[{len(places)}]", datatype_of(tensor.dtype)
        places.append(_Place(where, name, datatype, tensor.shape, at, end))
        at = end
    if at != len(body):
        return None  # some are in the JSON
    return Envelope(body[:json_length], b"", len(body), None, places, like)


def _around_json(body: bytes, inputs: dict[str, Array], like: InferRequest) -> Envelope | None:
    [(name, tensor)] = inputs.items()
    if tensor.dtype.kind not in _NUMBERS or not tensor.size:
        return None
    # It is the tensor's, if it is the only one, and no text contains it.
    keys = list(_DATA.finditer(body))
    if len(keys) != 1 or b"\\" in body:
        return None
    first, depth = keys[0].end(), 0
    for bracket in _BRACKETS.finditer(body, first):
        depth += 1 if bracket[0] == b"[" else -1
        if not depth:
            end = bracket.end()
            break
    if len(body) - (end - first) > MAX_BYTES:
        return None
    datatype = datatype_of(tensor.dtype)
    place = _Place("inputs[0]", name, datatype, tensor.shape, first, len(body) - end)
    return Envelope(body[:first], body[end:], 0, place, (), like)

"""A request's bytes and a reply's tensors, as a client of the protocol writes and reads them. Pure.

Tensors go as bytes both ways: exact, and fast where they are large.
"""

import json
import struct
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..protocol.datatypes import DTYPES, bytes_array, tensor_to_bytes
from .spec import Spec

Array = NDArray[Any]


class Target(NamedTuple):
    """A model as its server describes it."""

    path: str
    inputs: list[Spec]
    outputs: list[Spec]


class Output(NamedTuple):
    """One output of a reply."""

    spec: Spec
    """Its shape is the reply's own."""
    array: Array


def request_of(
    target: Target, tensors: Mapping[str, Array], *, priority: int | None, as_json: bool
) -> tuple[bytes, list[bytes]]:
    """A request's JSON, and the bytes that follow it."""
    blobs = [to_wire(spec.datatype, tensors[spec.name]) for spec in target.inputs]
    parameters: dict[str, Any] = {} if priority is None else {"priority": priority}
    if not as_json:
        parameters["binary_data_output"] = True
    document: dict[str, Any] = {
        "inputs": [
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": list(tensors[spec.name].shape),
                "parameters": {"binary_data_size": len(blob)},
            }
            for spec, blob in zip(target.inputs, blobs, strict=True)
        ],
        "outputs": [
            {
                "name": spec.name,
                # Halves have no JSON form. Not every server passes on the request's own wish.
                "parameters": {"binary_data": not as_json or spec.datatype in ("FP16", "BF16")},
            }
            for spec in target.outputs
        ],
    }
    if parameters:
        document["parameters"] = parameters
    return json.dumps(document).encode(), blobs


def reply_of(body: bytes, json_length: int) -> tuple[dict[str, Any], list[Output]]:
    """A reply's JSON with all data in it, and its outputs. Raises ValueError and its like."""
    document = json.loads(body[:json_length])
    outputs: list[Output] = []
    at = json_length
    for output in document["outputs"]:
        spec = spec_of(output)
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is None:
            data = output["data"]
            flat = (
                bytes_array([element.encode() for element in data])
                if spec.is_bytes
                else np.array(data, spec.dtype)
            )
        else:
            if at + size > len(body):
                raise ValueError("the reply is cut off")
            flat = from_wire(spec.datatype, body[at : at + size])
            at += size
            del output["parameters"]
            output["data"] = [
                element.decode(errors="replace") if spec.is_bytes else element
                for element in flat.tolist()
            ]
        if flat.size != prod(spec.shape):
            raise ValueError("the reply's shape and data differ")
        outputs.append(Output(spec, flat.reshape(spec.shape)))
    return document, outputs


def to_wire(datatype: str, array: Array) -> bytes:
    """A tensor's bytes."""
    if datatype != "BF16":
        return tensor_to_bytes(array)
    bits = array.astype("<f4").view("<u4").astype(np.uint64)
    # The upper half of a float32, rounded to even; NaN must not round to infinity.
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(array), 0x7FC0, rounded).astype("<u2").tobytes()


def from_wire(datatype: str, data: bytes) -> Array:
    """The flat tensor of its bytes. Raises ValueError or struct.error if they are not whole."""
    if datatype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    if datatype != "BYTES":
        return np.frombuffer(data, DTYPES[datatype])
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        elements.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    if at != len(data):
        raise ValueError("the last text is cut off")
    return bytes_array(elements)


def spec_of(tensor: Mapping[str, Any]) -> Spec:
    """An input or output as JSON describes it. Raises KeyError, TypeError or ValueError."""
    # Some servers write sizes in quotes, as JSON made from protobuf has them.
    shape = tuple(int(size) for size in tensor["shape"])
    return Spec(str(tensor["name"]), str(tensor["datatype"]), shape)

"""A question to a request's bytes, and a reply's bytes to the answer. Pure.

Tensors go as bytes both ways: exact, and without a Python object for each number.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from numpy.typing import NDArray

from ..protocol.errors import InvalidRequest as NoTensor
from .answer import Answer
from .errors import InvalidRequest, ServerFailed
from .metadata import ModelMetadata
from .tensors import array_of, array_of_json, as_bytes, tensor_of

Array = NDArray[Any]


class Question(NamedTuple):
    """What a caller asks of a model."""

    model: str
    inputs: Mapping[str, Any]
    version: str | int | None = None
    outputs: Sequence[str] | None = None
    """None: all of them."""
    priority: int | None = None
    request_id: str | None = None


class Body(NamedTuple):
    """A request's body."""

    content: bytes
    json_length: int | None = None
    """So many bytes are JSON, the rest is tensors; None if there are no tensors."""


def inputs_of(inputs: Mapping[str, Any] | None, more: Mapping[str, Any]) -> Mapping[str, Any]:
    """All inputs, those of a mapping and those given as arguments. Raises InvalidRequest."""
    if inputs is None:
        return more
    if not isinstance(inputs, Mapping):
        raise InvalidRequest(
            f"inputs are a mapping of names to values, got {type(inputs).__name__}"
        )
    if twice := inputs.keys() & more.keys():
        raise InvalidRequest(f"given twice: {', '.join(map(repr, sorted(twice)))}")
    return {**inputs, **more} if more else inputs


def encode(question: Question, metadata: ModelMetadata) -> Body:
    """Raises InvalidRequest if the question does not fit the model."""
    given, specs = question.inputs, metadata.inputs
    if len(given) != len(specs) or not all(spec.name in given for spec in specs):
        raise InvalidRequest(_other_inputs(given, metadata))
    blobs: list[Any] = []
    inputs: list[dict[str, Any]] = []
    for spec in specs:
        tensor = tensor_of(spec, given[spec.name])
        blob = as_bytes(tensor)
        size = len(blob) if isinstance(blob, bytes) else blob.nbytes
        inputs.append(
            {
                "name": spec.name,
                "datatype": spec.datatype,
                "shape": tensor.shape,
                "parameters": {"binary_data_size": size},
            }
        )
        blobs.append(blob)
    document: dict[str, Any] = {"inputs": inputs}
    if question.outputs is None:
        document["parameters"] = {"binary_data_output": True}
    else:
        document["outputs"] = [
            {"name": name, "parameters": {"binary_data": True}} for name in question.outputs
        ]
    if question.priority is not None:
        document.setdefault("parameters", {})["priority"] = question.priority
    if question.request_id is not None:
        document["id"] = question.request_id
    try:
        head = orjson.dumps(document)
    except TypeError as error:  # orjson's own error is one
        raise InvalidRequest(f"the request cannot be written as JSON: {error}") from error
    return Body(b"".join([head, *blobs]), len(head))


def _other_inputs(given: Mapping[str, Any], metadata: ModelMetadata) -> str:
    takes = ", ".join(f"{spec.name!r}" for spec in metadata.inputs)
    got = ", ".join(f"{name!r}" for name in given) or "none"
    return f"model {metadata.name!r} takes the inputs {takes}; got {got}"


def decode(body: bytes, json_length: int | None, server_timing: str) -> Answer:
    """Raises ServerFailed if the reply is not one of this protocol."""
    try:
        document = _parsed(body if json_length is None else body[:json_length])
        blobs = memoryview(body)[len(body) if json_length is None else json_length :]
        outputs: dict[str, Array] = {}
        for output in document["outputs"]:
            name, datatype, shape = output["name"], output["datatype"], tuple(output["shape"])
            size = (output.get("parameters") or {}).get("binary_data_size")
            if size is None:
                outputs[name] = array_of_json(name, datatype, shape, output["data"])
                continue
            if size > len(blobs):
                raise ValueError("cut off")
            outputs[name] = array_of(name, datatype, shape, blobs[:size])
            blobs = blobs[size:]
        return Answer(
            outputs,
            model=str(document.get("model_name") or ""),
            version=str(document.get("model_version") or ""),
            id=str(document.get("id") or ""),
            server_timing=server_timing,
        )
    except (NoTensor, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ServerFailed("the server's reply is none that this protocol knows") from error


def _parsed(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        return json.loads(text)  # which knows the bare words NaN and Infinity

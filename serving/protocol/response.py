"""Tensors to a reply's bytes.

What every reply of a model repeats is made once and joined in; only the numbers
are written anew.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson

from .classification import classified
from .datatypes import Array, datatype_of, tensor_to_bytes
from .elements import NO_JSON_FORM
from .errors import InvalidRequest
from .outputs import ModelOutputs, in_binary, no_json_form, unexpected
from .request import InferRequest


class Encoded(NamedTuple):
    """A reply's body."""

    body: bytes
    json_length: int | None
    """For the `Inference-Header-Content-Length`: None if all of the body is JSON."""


def encode(
    model_name: str,
    model_version: str,
    request: InferRequest,
    outputs: Mapping[str, Array],
    model: ModelOutputs | None = None,
) -> Encoded:
    """Write a reply, each output in the form that the request asks for.

    outputs: the model's outputs in its own order. model: what else is known of them, for
    their classification. Raises InvalidRequest if the request asks for an output that is
    not there, or in a form that it has not.
    """
    if len(outputs) == 1 and not (request.outputs or request.id or request.binary_outputs):
        # As most are.
        [(name, tensor)] = outputs.items()
        datatype = datatype_of(tensor.dtype)
        before = _until_data(model_name, model_version, name, datatype, tensor.shape)
        return Encoded(b"%b%b}]}" % (before, _elements(name, datatype, tensor)), None)
    parts = [_opening(model_name, model_version)]
    if request.id:
        parts += (b'"id":', orjson.dumps(request.id), b",")
    blobs: list[bytes] = []
    before = b'"outputs":['
    for name, tensor, binary in wanted(request, outputs, model):
        datatype = datatype_of(tensor.dtype)
        parts.append(_output(before, name, datatype, tensor.shape))
        before = b","
        if binary:
            blob = tensor_to_bytes(tensor)
            blobs.append(blob)
            parts.append(b',"parameters":{"binary_data_size":%d}}' % len(blob))
        else:
            parts += (b',"data":', _elements(name, datatype, tensor), b"}")
    parts.append(b"]}")
    if not any(blobs):
        return Encoded(b"".join(parts), None)
    text = b"".join(parts)
    return Encoded(b"".join((text, *blobs)), len(text))


def wanted(
    request: InferRequest, outputs: Mapping[str, Array], model: ModelOutputs | None = None
) -> Iterable[tuple[str, Array, bool]]:
    """The outputs to send, each by its name, what it is, and whether as bytes."""
    if request.outputs:
        return _asked_for(request, outputs, model)
    binary = request.binary_outputs
    return [(name, tensor, binary) for name, tensor in outputs.items()]


def _asked_for(
    request: InferRequest, outputs: Mapping[str, Array], model: ModelOutputs | None
) -> Iterator[tuple[str, Array, bool]]:
    for output in request.outputs:
        name, found = output.name, outputs.get(output.name)
        if found is None:
            raise unexpected(name, outputs)
        if output.classification:
            labels, batched = (model.labels.get(name, ()), model.batched) if model else ((), True)
            found = classified(name, found, output.classification, labels, batched=batched)
        yield name, found, in_binary(request, output)


@lru_cache(maxsize=1024)
def _opening(model_name: str, model_version: str) -> bytes:
    return b'{"model_name":%b,"model_version":%b,' % (
        orjson.dumps(model_name),
        orjson.dumps(model_version),
    )


@lru_cache(maxsize=1024)
def _output(before: bytes, name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    return b'%b{"name":%b,"datatype":"%b","shape":%b' % (
        before,
        orjson.dumps(name),
        datatype.encode(),
        orjson.dumps(shape),
    )


@lru_cache(maxsize=1024)
def _until_data(
    model_name: str, model_version: str, name: str, datatype: str, shape: tuple[int, ...]
) -> bytes:
    """A reply with one output, up to its elements."""
    opening = _opening(model_name, model_version)
    return b'%b%b,"data":' % (opening, _output(b'"outputs":[', name, datatype, shape))


def _elements(name: str, datatype: str, tensor: Array) -> bytes:
    """The elements as a flat JSON list: a nested one breaks the C++ client."""
    if datatype in NO_JSON_FORM:
        raise no_json_form(name, datatype)
    flat = tensor.ravel()
    if tensor.dtype.hasobject:
        try:
            return orjson.dumps([element.decode() for element in flat.tolist()])
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"output {name!r} is not UTF-8 text; ask for binary data"
            ) from error
    text = orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)
    if b"null" in text:
        # orjson writes null for what JSON has no number for; clients of this
        # protocol write and read the bare words.
        return json.dumps(np.asarray(flat).tolist()).encode()
    return text

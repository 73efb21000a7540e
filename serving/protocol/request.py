"""A request's bytes to tensors.

The JSON is read by a parser that hands out a buffer of numbers, so that a float
in the text never becomes a Python object. Whether binary data follows the JSON
is told by the header's presence alone, never by the content type: clients
differ in what they send there.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
import simdjson

from .datatypes import DTYPES, Array, bytes_array, reshaped, tensor_from_bytes
from .errors import InvalidRequest

MAX_DIMENSIONS = 32
NO_JSON_FORM = frozenset({"FP16"})

# The parser's names for the buffers it can make, by the kind of the numpy type.
_BUFFERS: Mapping[str, Literal["d", "i", "u"]] = {"f": "d", "i": "i", "u": "u"}


@dataclass(slots=True)
class RequestedOutput:
    """An output that the caller asked for, and how."""

    name: str
    binary: bool | None
    """As bytes; None where the caller left that to the request's own setting."""


@dataclass(slots=True)
class InferRequest:
    """A request, its tensors unchecked against any model."""

    inputs: dict[str, Array]
    id: str = ""
    outputs: Sequence[RequestedOutput] = ()
    """Empty: all of them."""
    binary_outputs: bool = False
    """As bytes where the output itself does not say."""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def decode(body: bytes, json_length: int | None = None) -> InferRequest:
    """Read a request from its body.

    json_length: the `Inference-Header-Content-Length` if that was sent: so many
    bytes are JSON, the rest is the inputs' binary data in their order.

    Raises InvalidRequest. The tensors may be views into `body`.
    """
    if json_length is None:
        document, binary = _parse(body), memoryview(b"")
    elif 0 <= json_length <= len(body):
        document, binary = _parse(body[:json_length]), memoryview(body)[json_length:]
    else:
        raise InvalidRequest(
            f"Inference-Header-Content-Length is {json_length}, "
            f"which is not within the body's {len(body)} bytes"
        )
    if not isinstance(document, (simdjson.Object, dict)):
        raise InvalidRequest(f"the request must be a JSON object, got {_kind(document)}")
    request = InferRequest({})
    inputs = document.get("inputs")
    if not isinstance(inputs, (simdjson.Array, list)) or not len(inputs):
        raise InvalidRequest(f"inputs: expected a list of tensors, got {_kind(inputs)}")
    for index, item in enumerate(inputs):
        name, tensor, binary = _tensor(f"inputs[{index}]", item, binary)
        if name in request.inputs:
            raise InvalidRequest(f"inputs[{index}].name: {name!r} is there twice")
        request.inputs[name] = tensor
    if binary:
        raise InvalidRequest(f"{len(binary)} bytes are left after the last input's binary data")
    if (id_ := document.get("id")) is not None:
        request.id = _typed("id", id_, str, "a text")
    if (parameters := document.get("parameters")) is not None:
        request.parameters = _mapping("parameters", parameters)
        request.binary_outputs = _flag(
            "parameters.binary_data_output", request.parameters.get("binary_data_output", False)
        )
    if (outputs := document.get("outputs")) is not None:
        request.outputs = _requested(outputs)
    return request


def _parse(text: bytes) -> Any:
    try:
        # A parser is cheap, and its documents die with it: nothing to reset between requests.
        return simdjson.Parser().parse(text)
    except UnicodeDecodeError as error:
        raise InvalidRequest("the JSON is not valid UTF-8") from error
    except (ValueError, RuntimeError) as error:
        if b"NaN" in text or b"Infinity" in text:
            return _parse_with_nan(text)
        reason = str(error).split(":", 1)[-1].strip() or "it is empty"
        raise InvalidRequest(f"the body is not valid JSON: {reason}") from error


def _parse_with_nan(text: bytes) -> Any:
    """JSON with the bare words NaN and Infinity, which Triton's clients write and read."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from error


def _tensor(where: str, item: Any, binary: memoryview) -> tuple[str, Array, memoryview]:
    """An input's name, its tensor, and the binary data that is left for the next."""
    if not isinstance(item, (simdjson.Object, dict)):
        raise InvalidRequest(f"{where}: expected an object, got {_kind(item)}")
    name = _typed(f"{where}.name", item.get("name"), str, "a text")
    datatype = item.get("datatype")
    if datatype not in DTYPES:
        raise InvalidRequest(
            f"{where}.datatype: expected one of {', '.join(DTYPES)}, got {_kind(datatype)}"
        )
    shape = _shape(f"{where}.shape", item.get("shape"))
    data = item.get("data")
    size = None
    if (parameters := item.get("parameters")) is not None:
        size = _mapping(f"{where}.parameters", parameters).get("binary_data_size")
    if (data is None) == (size is None):
        raise InvalidRequest(
            f"{where}: give either data or parameters.binary_data_size, "
            + ("not both" if data is not None else "neither is there")
        )
    if size is None:
        return name, _from_json(f"{where}.data", datatype, shape, data), binary
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidRequest(f"{where}.parameters.binary_data_size: got {_kind(size)}")
    if size > len(binary):
        raise InvalidRequest(
            f"{where}: {size} bytes of binary data are announced, {len(binary)} are left"
        )
    return name, tensor_from_bytes(where, datatype, shape, binary[:size]), binary[size:]


def _shape(where: str, value: Any) -> tuple[int, ...]:
    sizes = value.as_list() if isinstance(value, simdjson.Array) else value
    if (
        not isinstance(sizes, list)
        or len(sizes) > MAX_DIMENSIONS
        or not all(type(size) is int and size >= 0 for size in sizes)
    ):
        raise InvalidRequest(
            f"{where}: expected a list of at most {MAX_DIMENSIONS} whole numbers, "
            f"got {_kind(value)}"
        )
    return tuple(sizes)


def _from_json(where: str, datatype: str, shape: tuple[int, ...], data: Any) -> Array:
    if datatype in NO_JSON_FORM:
        raise InvalidRequest(f"{where}: {datatype} has no JSON form; send it as binary data")
    if not isinstance(data, (simdjson.Array, list)):
        raise InvalidRequest(f"{where}: expected a list, got {_kind(data)}")
    dtype = DTYPES[datatype]
    if isinstance(data, simdjson.Array) and dtype.kind in _BUFFERS:
        try:
            flat = (
                np.frombuffer(data.as_buffer(of_type=_BUFFERS[dtype.kind]), f"{dtype.kind}8")
                if len(data)
                else np.empty(0, dtype)
            )
        except (TypeError, ValueError) as error:
            raise _wrong_element(where, datatype, data) from error
        return reshaped(where, _narrowed(where, datatype, flat, dtype), shape)
    elements = _flatten(where, data.as_list() if isinstance(data, simdjson.Array) else data)
    if not all(map(_ELEMENTS[dtype.kind], elements)):
        raise _wrong_element(where, datatype, elements)
    if dtype.hasobject:
        return reshaped(where, bytes_array([element.encode() for element in elements]), shape)
    try:
        wide = np.array(elements, dtype if dtype.kind == "b" else f"{dtype.kind}8")
    except OverflowError as error:
        raise _wrong_element(where, datatype, elements) from error
    return reshaped(where, _narrowed(where, datatype, wide, dtype), shape)


def _narrowed(where: str, datatype: str, wide: Array, dtype: np.dtype[np.generic]) -> Array:
    """The numbers in their own type; integers must fit it, floats are rounded to it."""
    if wide.dtype == dtype:
        return wide
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return wide.astype(dtype)
    narrow = wide.astype(dtype)
    if not np.array_equal(narrow, wide):
        limits = np.iinfo(dtype)  # type: ignore[type-var]
        raise InvalidRequest(
            f"{where}: {datatype} holds {limits.min} to {limits.max}, got {wide[narrow != wide][0]}"
        )
    return narrow


_ELEMENTS: dict[str, Callable[[Any], bool]] = {
    "b": lambda element: isinstance(element, bool),
    "i": lambda element: type(element) is int,
    "u": lambda element: type(element) is int and element >= 0,
    "f": lambda element: type(element) in (int, float),
    "O": lambda element: isinstance(element, str),
}


def _flatten(where: str, data: list[Any]) -> list[Any]:
    """The elements of nested lists, row by row."""
    while any(isinstance(element, list) for element in data):
        if not all(isinstance(element, list) for element in data):
            raise InvalidRequest(f"{where}: lists and elements are mixed")
        data = [element for part in data for element in part]
    return data


def _wrong_element(where: str, datatype: str, data: Any) -> InvalidRequest:
    """Name the first element that has no place in a tensor of this type."""
    elements = data.as_list() if isinstance(data, simdjson.Array) else data
    fits = _ELEMENTS[DTYPES[datatype].kind]
    for element in _flatten(where, elements):
        if not fits(element):
            return InvalidRequest(f"{where}: expected {datatype} elements, got {_kind(element)}")
    return InvalidRequest(f"{where}: an element does not fit {datatype}")


def _requested(outputs: Any) -> list[RequestedOutput]:
    if not isinstance(outputs, (simdjson.Array, list)):
        raise InvalidRequest(f"outputs: expected a list, got {_kind(outputs)}")
    requested: list[RequestedOutput] = []
    for index, item in enumerate(outputs):
        where = f"outputs[{index}]"
        if not isinstance(item, (simdjson.Object, dict)):
            raise InvalidRequest(f"{where}: expected an object, got {_kind(item)}")
        name = _typed(f"{where}.name", item.get("name"), str, "a text")
        if any(name == other.name for other in requested):
            raise InvalidRequest(f"{where}.name: {name!r} is there twice")
        binary = None
        if (parameters := item.get("parameters")) is not None:
            binary = _mapping(f"{where}.parameters", parameters).get("binary_data")
            if binary is not None:
                _flag(f"{where}.parameters.binary_data", binary)
        requested.append(RequestedOutput(name, binary))
    return requested


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if isinstance(value, simdjson.Object):
        value = value.as_dict()
    return _typed(where, value, dict, "an object")


def _flag(where: str, value: Any) -> bool:
    return _typed(where, value, bool, "true or false")


T = TypeVar("T")


def _typed(where: str, value: Any, kind: type[T], words: str) -> T:
    if not isinstance(value, kind):
        raise InvalidRequest(f"{where}: expected {words}, got {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    """A value as an error message shows it: never more than a few words of it."""
    if value is None:
        return "nothing"
    if isinstance(value, (simdjson.Array, list)):
        return "a list" if len(value) else "an empty list"
    if isinstance(value, (simdjson.Object, dict)):
        return "an object"
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"

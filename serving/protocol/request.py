"""A request's bytes to tensors.

The JSON is read by a parser that hands out a buffer of numbers, so that a float
in the text never becomes a Python object. Whether binary data follows the JSON
is told by the header's presence alone, never by the content type: clients
differ in what they send there.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isinf
from typing import Any

import simdjson

from .datatypes import DTYPES, Array, tensor_from_bytes
from .elements import from_json, kind_of
from .errors import InvalidRequest
from .fields import count, flag, mapping, refuse_reserved, refuse_shared_memory, typed
from .requested import RequestedOutput, requested

MAX_DIMENSIONS = 32
MAX_SIZE = 2**63 - 1


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
    timeout_s: float | None = None
    """How long the caller waits; None where it does not say."""
    priority: int = 0
    """1 is the most urgent; 0 where the caller does not say."""


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
        raise InvalidRequest(f"the request must be a JSON object, got {kind_of(document)}")
    # Asking the parser for a key that is not there costs as much as all the rest.
    keys = list(document.keys())
    request = InferRequest({})
    inputs = document["inputs"] if "inputs" in keys else None
    if not isinstance(inputs, (simdjson.Array, list)) or not len(inputs):
        raise InvalidRequest(f"inputs: expected a list of tensors, got {kind_of(inputs)}")
    for index, item in enumerate(inputs):
        name, tensor, binary = _tensor(f"inputs[{index}]", item, binary)
        if name in request.inputs:
            raise InvalidRequest(f"inputs[{index}].name: {kind_of(name)} is there twice")
        request.inputs[name] = tensor
    if binary:
        raise InvalidRequest(f"{len(binary)} bytes are left after the last input's binary data")
    if "id" in keys and (id_ := document["id"]) is not None:
        request.id = typed("id", id_, str, "a text")
    if "parameters" in keys and (parameters := document["parameters"]) is not None:
        request.parameters = mapping("parameters", parameters)
        refuse_reserved(request.parameters)
        request.binary_outputs = flag(
            "parameters.binary_data_output", request.parameters.get("binary_data_output", False)
        )
        request.priority = count("parameters.priority", request.parameters.get("priority", 0))
        # In microseconds; 0 is as good as none, for Triton's clients send it for that.
        if timeout_us := count("parameters.timeout", request.parameters.get("timeout", 0)):
            request.timeout_s = timeout_us / 1e6
    if "outputs" in keys and (outputs := document["outputs"]) is not None:
        request.outputs = requested(outputs)
    return request


def _parse(text: bytes) -> Any:
    try:
        # A parser is cheap, and its documents die with it: nothing to reset between requests.
        return simdjson.Parser().parse(text)
    except UnicodeDecodeError as error:
        raise InvalidRequest("the JSON is not valid UTF-8") from error
    except (ValueError, RuntimeError) as error:
        reason = str(error).split(":", 1)[-1].strip()
        odd_number = "number" in reason or "integer" in reason
        if odd_number or b"NaN" in text or b"Infinity" in text:
            return _parse_odd_numbers(text)
        raise InvalidRequest(f"the body is not valid JSON: {reason}") from error


def _parse_odd_numbers(text: bytes) -> Any:
    """JSON with what the fast parser does not take.

    That is the bare words NaN and Infinity, which Triton's clients write and read,
    and integers of more than 64 bits, as which JavaScript writes floats up to 1e21.
    """
    try:
        document = json.loads(text.decode("utf-8-sig"), parse_float=_finite)
        if b"\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()  # refuses half a surrogate pair
    except RecursionError as error:
        raise InvalidRequest("the JSON is nested too deep") from error
    except ValueError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from error
    return document


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _tensor(where: str, item: Any, binary: memoryview) -> tuple[str, Array, memoryview]:
    """An input's name, its tensor, and the binary data that is left for the next."""
    if not isinstance(item, (simdjson.Object, dict)):
        raise InvalidRequest(f"{where}: expected an object, got {kind_of(item)}")
    keys = list(item.keys())
    name = item["name"] if "name" in keys else None
    if not isinstance(name, str):
        raise InvalidRequest(f"{where}.name: expected a text, got {kind_of(name)}")
    datatype = item["datatype"] if "datatype" in keys else None
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise InvalidRequest(
            f"{where}.datatype: expected one of {', '.join(DTYPES)}, got {kind_of(datatype)}"
        )
    shape = _shape(where, item["shape"] if "shape" in keys else None)
    data = item["data"] if "data" in keys else None
    size = None
    if "parameters" in keys and (parameters := item["parameters"]) is not None:
        own = mapping(f"{where}.parameters", parameters)
        refuse_shared_memory(where, own)
        size = own.get("binary_data_size")
    if (data is None) == (size is None):
        raise InvalidRequest(
            f"{where}: give either data or parameters.binary_data_size, "
            + ("not both" if data is not None else "neither is there")
        )
    if size is None:
        return name, from_json(where, datatype, shape, data), binary
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidRequest(f"{where}.parameters.binary_data_size: got {kind_of(size)}")
    if size > len(binary):
        raise InvalidRequest(
            f"{where}: {size} bytes of binary data are announced, {len(binary)} are left"
        )
    return name, tensor_from_bytes(where, datatype, shape, binary[:size]), binary[size:]


def _shape(where: str, value: Any) -> tuple[int, ...]:
    sizes = value.as_list() if isinstance(value, simdjson.Array) else value
    if isinstance(sizes, list) and len(sizes) <= MAX_DIMENSIONS:
        for size in sizes:
            if type(size) is not int or not 0 <= size <= MAX_SIZE:
                break
        else:
            return tuple(sizes)
    raise InvalidRequest(
        f"{where}.shape: expected a list of at most {MAX_DIMENSIONS} whole numbers, "
        f"got {kind_of(value)}"
    )

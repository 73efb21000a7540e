"""A request that works, for every model: to be pasted, shown and tried."""

import json
import shlex
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

import orjson

from models import Array, Model, Tensors
from models.bfloat16 import BFLOAT16, to_float32

from .protocol import datatype_of
from .protocol.datatypes import tensor_to_bytes
from .protocol.elements import NO_JSON_FORM

# A longer command does not survive being pasted into a terminal.
MAX_PASTE: Final = 3500
HEADER: Final = "Inference-Header-Content-Length"


def example_request(inputs: Tensors) -> dict[str, Any]:
    """The inputs as the protocol's JSON."""
    return {
        "inputs": [
            {
                "name": name,
                "shape": list(tensor.shape),
                "datatype": datatype_of(tensor.dtype),
                "data": _plain(tensor),
            }
            for name, tensor in inputs.items()
        ]
    }


def model_example(model: Model) -> dict[str, Any]:
    """A request that the model answers, from its settings or made up, as the protocol's JSON.

    Outputs without a JSON form are asked for as bytes. Inputs without one stand here with
    their numbers all the same, which must be sent as bytes: JSON is for who makes those.
    """
    request = example_request(model.example())
    outputs = [(spec.name, datatype_of(spec.dtype)) for spec in model.signature.outputs]
    if not NO_JSON_FORM.isdisjoint(datatype for _, datatype in outputs):
        request["outputs"] = [
            {"name": name, "parameters": {"binary_data": datatype in NO_JSON_FORM}}
            for name, datatype in outputs
        ]
    return request


def _plain(tensor: Array) -> list[Any]:
    """The elements, flat, as short as they can be written: 2.4, not 2.4000000953674316."""
    flat = tensor.ravel()
    if tensor.dtype.hasobject:
        return [element.decode(errors="replace") for element in flat.tolist()]
    if tensor.dtype == BFLOAT16:
        flat = to_float32(flat)
    values = orjson.loads(orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY))
    return [int(v) if isinstance(v, float) and v.is_integer() else v for v in values]


def curl(model: Model, base_url: str) -> str:
    """A command that can be pasted into a shell, and works."""
    inputs, request = model.example(), model_example(model)
    halves = b"".join(_without_json(request, inputs))
    url = shlex.quote(f"{base_url}/v2/models/{quote(model.source.name, safe='')}/infer")
    sends = f"curl -s {url}"
    if "outputs" in request:
        sends += " --output -"  # or curl writes no bytes to a terminal
    body = json.dumps(request, separators=(",", ":"))
    octal = "".join(f"\\{byte:03o}" for byte in halves)
    if len(body) + len(octal) <= MAX_PASTE:
        if not halves:
            return f"{sends} -d {shlex.quote(body)}"
        written = f"{{ printf %s {shlex.quote(body)}; printf '{octal}'; }}"
    else:
        # Too many numbers to paste: let Python write them.
        written = f"python3 -c {shlex.quote(_script(request, inputs))}"
        body = json.dumps({**request, "inputs": [_alike(one) for one in request["inputs"]]})
    if not halves:
        return f"{written} | {sends} -d @-"
    return f"{written} | {sends} -H '{HEADER}: {len(body)}' --data-binary @-"


def _without_json(request: dict[str, Any], inputs: Tensors) -> Iterator[bytes]:
    """Take what has no JSON form out of a request: the bytes that follow it, one after another."""
    for tensor in request["inputs"]:
        if tensor["datatype"] in NO_JSON_FORM:
            part = tensor_to_bytes(inputs[tensor["name"]])
            del tensor["data"]
            tensor["parameters"] = {"binary_data_size": len(part)}
            yield bytes(part)


def _alike(tensor: dict[str, Any]) -> dict[str, Any]:
    """A tensor with its first number in the place of all."""
    data = tensor.get("data")
    return {**tensor, "data": data[:1] * len(data)} if data else tensor


def _script(request: dict[str, Any], inputs: Tensors) -> str:
    """A program in Python that writes a request with as many numbers, each tensor's all alike."""
    tensors = []
    for tensor in request["inputs"]:
        known = {key: value for key, value in tensor.items() if key != "data"}
        data = tensor.get("data")
        many = f", 'data': {data[:1]!r} * {len(data)}" if data else ""
        tensors.append(f"{{**{known!r}{many}}}")
    rest = {key: value for key, value in request.items() if key != "inputs"}
    whole = f"{{**{rest!r}, 'inputs': [{', '.join(tensors)}]}}"
    parts = "".join(
        f" + bytes.fromhex('{bytes(tensor_to_bytes(one.ravel()[:1])).hex()}') * {one.size}"
        for one in inputs.values()
        if datatype_of(one.dtype) in NO_JSON_FORM
    )
    return f"import json, sys; sys.stdout.buffer.write(json.dumps({whole}).encode(){parts})"

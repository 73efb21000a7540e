"""A request that works, for every model: to be pasted, shown and tried."""

import json
import shlex
from typing import Any

import orjson

from models import Array, Model, Tensors
from models.bfloat16 import BFLOAT16, to_float32

from .protocol import datatype_of
from .protocol.elements import NO_JSON_FORM

# A longer command does not survive being pasted into a terminal.
MAX_PASTE = 3500


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
    url = f"{base_url}/v2/models/{model.source.name}/infer"
    request = example_request(model.example())
    body = json.dumps(request, separators=(",", ":"))
    if len(body) <= MAX_PASTE:
        return f"curl -s {url} -d {shlex.quote(body)}"
    # Too many numbers to paste: let Python write them.
    tensors = ", ".join(
        f'{{"name": {json.dumps(tensor["name"])}, "shape": {tensor["shape"]}, '
        f'"datatype": "{tensor["datatype"]}", "data": {_repeated(tensor["data"])}}}'
        for tensor in request["inputs"]
    )
    script = f'import json; print(json.dumps({{"inputs": [{tensors}]}}))'
    return f"python3 -c {shlex.quote(script)} | curl -s {url} -d @-"


def _repeated(values: list[Any]) -> str:
    """A Python expression for as many values, all of them the first."""
    first = values[0] if values else 0
    text = str(first) if isinstance(first, bool) else json.dumps(first)
    return f"[{text}] * {len(values)}"

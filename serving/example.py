"""A request that works, for every model: to be pasted, shown and tried."""

import json
import shlex
from typing import Any

from models import Model, Tensors

from .protocol import datatype_of

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
                "data": [_plain(value) for value in tensor.ravel().tolist()],
            }
            for name, tensor in inputs.items()
        ]
    }


def _plain(value: Any) -> Any:
    """Whole floats without the point: half the length, and the same number."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


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

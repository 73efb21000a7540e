"""The outputs that a request asks for, and in which form."""

from dataclasses import dataclass
from typing import Any

import simdjson

from .elements import kind_of
from .errors import InvalidRequest
from .fields import count, flag, mapping, refuse_shared_memory, typed


@dataclass(slots=True)
class RequestedOutput:
    """An output that the caller asked for, and how."""

    name: str
    binary: bool | None
    """As bytes; None where the caller left that to the request's own setting."""
    classification: int = 0
    """So many of its largest elements, as texts, in its place; 0: the output itself."""


def requested(outputs: Any) -> list[RequestedOutput]:
    """Read a request's `outputs`. Raises InvalidRequest."""
    if not isinstance(outputs, (simdjson.Array, list)):
        raise InvalidRequest(f"outputs: expected a list, got {kind_of(outputs)}")
    found: dict[str, RequestedOutput] = {}
    for index, item in enumerate(outputs):
        where = f"outputs[{index}]"
        if not isinstance(item, (simdjson.Object, dict)):
            raise InvalidRequest(f"{where}: expected an object, got {kind_of(item)}")
        name = typed(f"{where}.name", item.get("name"), str, "a text")
        if name in found:
            raise InvalidRequest(f"{where}.name: {kind_of(name)} is there twice")
        output = found[name] = RequestedOutput(name, None)
        if (given := item.get("parameters")) is not None:
            parameters = mapping(f"{where}.parameters", given)
            if (binary := parameters.get("binary_data")) is not None:
                output.binary = flag(f"{where}.parameters.binary_data", binary)
            if (most := parameters.get("classification")) is not None:
                output.classification = count(f"{where}.parameters.classification", most, 1)
            refuse_shared_memory(where, parameters)
    return list(found.values())

"""What a server says of its models, typed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from .errors import ServerFailed


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model."""

    name: str
    datatype: str
    """As the protocol names it: FP32, INT64, BYTES, …"""
    shape: tuple[int, ...]
    """-1 is an axis of any size."""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a model takes and gives."""

    name: str
    versions: tuple[str, ...]
    """All that answer."""
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class ModelState:
    """One version of a model in the server's repository."""

    name: str
    version: str
    """Empty where none was ever loaded."""
    state: str
    """READY, LOADING, UNLOADING, UNAVAILABLE, or empty."""
    reason: str
    """Why it is in that state; empty where there is nothing to say."""

    @property
    def ready(self) -> bool:
        return self.state == "READY"


def metadata_in(body: bytes) -> ModelMetadata:
    """A model's metadata. Raises ServerFailed if that is not what it is."""
    try:
        document = orjson.loads(body)
        return ModelMetadata(
            str(document["name"]),
            tuple(map(str, document.get("versions") or ())),
            str(document.get("platform") or ""),
            tuple(map(spec_of, document["inputs"])),
            tuple(map(spec_of, document["outputs"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerFailed("the server described the model in a way that is unknown") from error


def states_in(body: bytes) -> list[ModelState]:
    """The repository's index. Raises ServerFailed if that is not what it is."""
    try:
        return [
            ModelState(str(entry["name"]), *(str(entry.get(key) or "") for key in _REST_OF_A_STATE))
            for entry in orjson.loads(body)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerFailed("the server listed its models in a way that is unknown") from error


_REST_OF_A_STATE = ("version", "state", "reason")


def spec_of(tensor: Mapping[str, Any]) -> TensorSpec:
    """A tensor as JSON describes it. Raises KeyError, TypeError or ValueError."""
    # Some servers write sizes in quotes, as JSON made from protobuf has them.
    shape = tuple(int(size) for size in tensor["shape"])
    return TensorSpec(str(tensor["name"]), str(tensor["datatype"]), shape)

"""What the server tells about itself and its models, as the protocol spells it."""

from collections.abc import Sequence
from typing import Any

from models import Model, TensorSpec

from .model_config import PLATFORM
from .protocol import datatype_of
from .version import VERSION

# Only what is implemented: clients call what they find here. "parameters" is not: what a
# request says beyond the protocol's own parameters reaches no model.
EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "schedule_policy",
    "model_repository",
    "model_repository(unload_dependents)",
    "model_configuration",
    "statistics",
]


def server_metadata() -> dict[str, Any]:
    """The answer to GET /v2."""
    return {"name": "jitney", "version": VERSION, "extensions": EXTENSIONS}


def model_metadata(model: Model, versions: Sequence[str]) -> dict[str, Any]:
    """The answer to GET /v2/models/{name}; -1 is an axis of any size.

    versions: all that answer.
    """
    signature = model.signature
    return {
        "name": model.source.name,
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": [tensor_metadata(spec) for spec in signature.inputs],
        "outputs": [tensor_metadata(spec) for spec in signature.outputs],
    }


def tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    """One input or output."""
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": list(spec.sizes)}

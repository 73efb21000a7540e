"""What the server tells about itself and its models, as the protocol spells it."""

from typing import Any

from models import Model, TensorSpec

from ..example import example_request
from ..protocol import datatype_of
from ..version import VERSION

# Only what is implemented: clients call what they find here.
EXTENSIONS = ["binary_tensor_data"]


def server_metadata() -> dict[str, Any]:
    """The answer to GET /v2."""
    return {"name": "jitney", "version": VERSION, "extensions": EXTENSIONS}


def model_metadata(model: Model) -> dict[str, Any]:
    """The answer to GET /v2/models/{name}; -1 is an axis of any size."""
    signature = model.signature
    return {
        "name": model.source.name,
        "versions": [model.source.version],
        "platform": "onnxruntime_onnx",
        "inputs": [tensor_metadata(spec) for spec in signature.inputs],
        "outputs": [tensor_metadata(spec) for spec in signature.outputs],
    }


def tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    """One input or output."""
    return {"name": spec.name, "datatype": datatype_of(spec.dtype), "shape": list(spec.sizes)}


def model_example(model: Model) -> dict[str, Any]:
    """A request body that the model answers, for the documentation."""
    return example_request(model.example())

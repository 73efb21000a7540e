"""A model's configuration as the protocol spells it: Triton's ModelConfig, with the names of
its fields, of which everything is said that is true here.

Nobody can send one back: what may be set is in `model.toml`. Clients read from it whether and
how far a model is batched, and what its tensors are.
"""

from typing import Any

from models import Model, TensorSpec

from .deployment import DEFAULT_PRIORITY, PRIORITIES, Deployment
from .protocol import datatype_of

PLATFORM = "onnxruntime_onnx"
BACKEND = "onnxruntime"


def model_config(deployment: Deployment, max_queue_rows: int) -> dict[str, Any]:
    """The ModelConfig of a model that answers, as JSON has it and as gRPC's message takes it.

    max_queue_rows: what may wait for a model that does not say so itself.
    `dims` have no batch axis where `max_batch_size` is above 0, though the metadata's shapes do.
    """
    model, batching = deployment.model, deployment.batching
    max_queue_rows = model.source.config.max_queue_rows or max_queue_rows
    config: dict[str, Any] = {
        "name": deployment.name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": _version_policy(model),
        # Rows of the largest batch that is run. A request may have more: it is divided.
        "max_batch_size": deployment.max_rows if batching else 0,
        "input": [_input(spec, batching) for spec in model.signature.inputs],
        "output": [_output(spec, batching) for spec in model.signature.outputs],
        "instance_group": [
            {
                "name": deployment.name,
                "kind": "KIND_CPU",
                "count": model.profile.slots,
                "gpus": [],
            }
        ],
        "default_model_filename": model.source.path.name,
        "model_transaction_policy": {"decoupled": False},
        "response_cache": {"enable": False},
        "parameters": _parameters(model),
    }
    if batching:
        config["dynamic_batching"] = {
            "preferred_batch_size": [],
            # Nobody waits for company: a batch leaves when the model is free.
            "max_queue_delay_microseconds": 0,
            "preserve_ordering": False,
            "priority_levels": PRIORITIES,
            "default_priority_level": DEFAULT_PRIORITY,
            "default_queue_policy": {
                "timeout_action": "REJECT",
                "default_timeout_microseconds": round(deployment.patience_s() * 1e6),
                "allow_timeout_override": True,
                # Counted in rows.
                "max_queue_size": max_queue_rows,
            },
        }
    return config


def _input(spec: TensorSpec, batching: bool) -> dict[str, Any]:
    return {
        **_tensor(spec, batching),
        "format": "FORMAT_NONE",
        "is_shape_tensor": False,
        # Rows of different lengths ride together, padded.
        "allow_ragged_batch": spec.pad is not None,
        "optional": False,
    }


def _output(spec: TensorSpec, batching: bool) -> dict[str, Any]:
    return {**_tensor(spec, batching), "label_filename": "", "is_shape_tensor": False}


def _tensor(spec: TensorSpec, batching: bool) -> dict[str, Any]:
    datatype = datatype_of(spec.dtype)
    return {
        "name": spec.name,
        "data_type": "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}",
        "dims": list(spec.sizes[1:] if batching else spec.sizes),
    }


def _version_policy(model: Model) -> dict[str, Any]:
    match model.source.config.versions:
        case "all":
            return {"all": {}}
        case "latest":
            return {"latest": {"num_versions": 1}}
        case {"latest": count}:
            return {"latest": {"num_versions": count}}
        case numbers:
            return {"specific": {"versions": list(numbers)}}


def _parameters(model: Model) -> dict[str, Any]:
    """What was found out about the model, for people."""
    profile = model.profile
    return {
        "threads": {"string_value": str(profile.threads)},
        "batching": {"string_value": profile.proof.says},
    }

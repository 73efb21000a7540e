"""What the page says of a model that does not change while it is loaded. Plain values."""

from typing import Any
from urllib.parse import quote

from models import TensorSpec

from ..curve import Curve
from ..deployment import Deployment
from ..example import model_example
from ..metadata import tensor_metadata
from ..observe.lifecycle_log import threads_in_words
from .forms import form_of


def described(deployment: Deployment, *, newest: bool) -> dict[str, Any]:
    """newest: it is what answers where no version is asked for."""
    model = deployment.model
    source, profile, signature = model.source, model.profile, model.signature
    path = f"/v2/models/{quote(source.name, safe='')}"
    return {
        "name": source.name,
        "version": source.version,
        "newest": newest,
        "path": path if newest else f"{path}/versions/{source.version}",
        "description": source.config.description,
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [
            {**_tensor(spec), "labels": list(deployment.outputs.labels.get(spec.name, ()))}
            for spec in signature.outputs
        ],
        "has_rows": signature.batched,
        "batches": deployment.batching,
        "proof": profile.proof.says,
        "threads": threads_in_words(profile),
        "curve": Curve(profile).as_values(),
        "form": form_of(signature, source.config, model.example()),
        "example": model_example(model),
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {**tensor_metadata(spec), "says": str(spec).removeprefix(f"{spec.name}: ")}

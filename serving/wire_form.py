"""A model as the protocol sees it: its outputs, and how a raw body fills its input."""

from math import prod

from models import Model, Signature, TensorSpec

from .protocol import ModelOutputs, RawInput, datatype_of
from .protocol.classification import labels_in

LABELS_FILE = "labels.txt"


def model_outputs(model: Model) -> ModelOutputs:
    """What replies of the model depend on; reads the labels that lie beside it."""
    signature = model.signature
    file = model.source.beside(LABELS_FILE)
    labels = labels_in(file.read_text("utf-8", "replace")) if file else []
    return ModelOutputs(
        {spec.name: datatype_of(spec.dtype) for spec in signature.outputs},
        batched=signature.batched,
        labels={
            spec.name: labels
            for spec in signature.outputs
            if labels and _may_be_labelled(spec, len(labels), batched=signature.batched)
        },
    )


def _may_be_labelled(spec: TensorSpec, labels: int, *, batched: bool) -> bool:
    """Whether the labels may be an output's: there is one for each element of a row."""
    sizes = spec.sizes[1:] if batched else spec.sizes
    return -1 in sizes or prod(sizes) == labels


def raw_inputs(signature: Signature) -> list[RawInput]:
    """All inputs of a model, as one row of them would be sent without any JSON."""
    first = (1,) if signature.batched else ()
    return [
        RawInput(spec.name, datatype_of(spec.dtype), first + spec.sizes[len(first) :])
        for spec in signature.inputs
    ]

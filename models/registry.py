"""The models that are known, and the state that each is in.

The registry keeps the book; it loads nothing by itself. Whoever loads a model
calls `load` off the event loop, and enters the outcome on it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from .errors import BadModel, ModelNotFound, ModelNotReady
from .onnx_runtime import OnnxRuntime
from .profile import SIZES, measure
from .repository import ModelSource
from .runtime import Runtime
from .signature import Tensors, sample


class ModelState(StrEnum):
    """The states as the Open Inference Protocol names them."""

    LOADING = "LOADING"
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True)
class Model:
    """A loaded model, warm and measured."""

    source: ModelSource
    runtime: Runtime
    measured: Mapping[int, float]
    """Seconds a run for a few batch sizes."""

    def example(self, rows: int = 1) -> Tensors:
        """Inputs that the model accepts, from its settings or made up."""
        return sample(self.runtime.signature, rows, self.source.config.example)


@dataclass
class Entry:
    """What the book says of one model."""

    source: ModelSource
    state: ModelState = ModelState.LOADING
    reason: str = ""
    model: Model | None = None


def load(source: ModelSource, *, cores: int) -> Model:
    """Load a model, warm it up and measure it. Blocks; raises BadModel."""
    config = source.config
    runtime = OnnxRuntime(source.path, threads=min(config.threads or cores, cores))
    signature = runtime.signature
    for name in config.example:
        if name not in [spec.name for spec in signature.inputs]:
            raise BadModel(f"{source.path}: the example names an unknown input {name!r}.")
    batching = config.batching and signature.batched
    max_rows = min(config.max_batch_rows or SIZES[-1], SIZES[-1]) if batching else 1
    try:
        measured = measure(runtime.run, partial(_rows, runtime, config.example), max_rows=max_rows)
    except Exception as error:
        # An example made up of ones need not be valid input; a given one must be.
        if config.example:
            raise BadModel(f"{source.path} fails on its example: {error}.") from error
        measured = {1: 1e-3}
    return Model(source, runtime, measured)


def _rows(runtime: Runtime, example: Mapping[str, object], rows: int) -> Tensors:
    return sample(runtime.signature, rows, example)


class Registry:
    """The book. Models are found by name and, if asked for, version."""

    def __init__(self, sources: Iterable[ModelSource]) -> None:
        self.entries = {source.name: Entry(source) for source in sources}

    def enter(self, model: Model) -> None:
        """The model is loaded and answers from now on."""
        entry = self.entries[model.source.name]
        entry.model, entry.state, entry.reason = model, ModelState.READY, ""

    def fail(self, source: ModelSource, reason: str) -> None:
        """The model could not be loaded."""
        entry = self.entries[source.name]
        entry.state, entry.reason = ModelState.UNAVAILABLE, reason

    def get(self, name: str, version: str | None = None) -> Model:
        """A model that answers; raises ModelNotFound or ModelNotReady."""
        entry = self.entries.get(name)
        if entry is None:
            raise ModelNotFound(name)
        if version and version != entry.source.version:
            raise ModelNotFound(name, version)
        if entry.model is None or entry.state is not ModelState.READY:
            raise ModelNotReady(name, entry.reason or entry.state.lower())
        return entry.model

    def close(self) -> None:
        """Free every model. Nothing may be running."""
        for entry in self.entries.values():
            entry.state, model, entry.model = ModelState.UNAVAILABLE, entry.model, None
            if model:
                model.runtime.close()

"""The models that are known, and the state that each is in.

The registry keeps the book; it loads nothing by itself. Whoever loads a model
calls `load` off the event loop, and enters the outcome on it.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from .errors import BadModel, ModelNotFound, ModelNotReady
from .onnx_runtime import OnnxRuntime
from .pipeline import Pipeline, find_pipeline
from .profile import Profile
from .profile_cache import ProfileCache, default_folder, profile_key
from .profiling import Subject, example_of, find_profile, warm_up
from .repository import ModelSource
from .runtime import Runtime
from .signature import Signature, Tensors


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
    pipeline: Pipeline | None
    """What callers send goes through it before the runtime, and outputs after; None: neither."""
    profile: Profile

    @property
    def signature(self) -> Signature:
        """What callers send and get."""
        return (self.pipeline or self.runtime).signature

    def example(self, rows: int = 1) -> Tensors:
        """What callers may send, from the model's settings or made up."""
        return example_of(self.runtime.signature, self.pipeline, self.source.config, rows)


@dataclass
class Entry:
    """What the book says of one model."""

    source: ModelSource
    state: ModelState = ModelState.LOADING
    reason: str = ""
    model: Model | None = None


def load(
    source: ModelSource,
    *,
    cores: int,
    budget_s: float = 2.0,
    progress: Callable[[str], None] | None = None,
    fresh: bool = False,
) -> Model:
    """Load a model, warm and measured. Blocks; raises BadModel.

    budget_s: about how long measuring may take, if no earlier start has done it.
    progress: told what is being done, in a few words. fresh: measure in any case.
    """

    def tell(what: str) -> None:
        if progress:
            progress(f"{source.name}: {what}")

    config = source.config
    cache, key = ProfileCache(default_folder()), None
    with suppress(OSError):  # a file that cannot be read: the engine says so better
        key = profile_key(source, cores=cores, budget_s=budget_s)
    profile = cache.read(key) if key and not fresh else None
    threads = profile.threads if profile else min(config.threads or cores, cores)
    tell("loading")
    engine = OnnxRuntime(source.path, threads=threads)
    try:
        runtime, pipeline = find_pipeline(source, engine)
        for name in config.example:
            if name not in [spec.name for spec in (pipeline or runtime).signature.inputs]:
                raise BadModel(f"{source.path}: the example names an unknown input {name!r}.")
        if profile:
            tell("measured at an earlier start")
            with suppress(Exception):  # what is made up need not be valid
                warm_up(source, runtime, pipeline)
        else:
            profile = find_profile(
                Subject(source, runtime, pipeline, cores),
                threads=threads,
                budget_s=budget_s,
                reopen=lambda threads: OnnxRuntime(source.path, threads=threads),
                keep=engine.take_over,
                tell=tell,
            )
            if key:
                cache.write(key, profile)
    except BaseException:
        engine.close()
        raise
    return Model(source, runtime, pipeline, profile)


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

"""The models that are known, and the state that each is in.

The registry keeps the book; it loads nothing by itself. Whoever loads a model
calls `load` off the event loop, and enters the outcome on it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from .allocator import trim_memory
from .errors import BadModel, ModelNotFound, ModelNotReady
from .onnx_runtime import OnnxRuntime
from .pipeline import Pipeline, find_pipeline
from .profile import Profile
from .profile_cache import ProfileCache, default_folder, profile_key
from .profiling import Subject, example_of, find_profile, run_example, warm_up
from .repository import ModelSource
from .runtime import Runtime
from .signature import Signature, Tensors

UNLOADED = "unloaded"
"""The reason of a model that was let go on purpose, as Triton words it."""


class ModelState(StrEnum):
    """The states as the Open Inference Protocol names them."""

    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
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
    """What the book says of one version of a model."""

    source: ModelSource
    state: ModelState = ModelState.LOADING
    reason: str = ""
    """Why it does not answer, or why a newer load of it does not."""
    model: Model | None = None
    awaited: bool = False
    """The server was started with it, and is not ready before it has answered once."""

    @property
    def why(self) -> str:
        """What keeps it from answering, in words."""
        return self.reason or self.state.lower()


def load(
    source: ModelSource,
    *,
    cores: int,
    budget_s: float = 2.0,
    progress: Callable[[str], None] | None = None,
    fresh: bool = False,
    crowded: bool = False,
) -> Model:
    """Load a model, warm and measured. Blocks; raises BadModel.

    budget_s: about how long measuring may take, if no earlier start has done it.
    progress: told what is being done, in a few words. fresh: measure in any case.
    crowded: more models than cores are served, so that runs should be cheap before quick.
    """

    def tell(what: str) -> None:
        if progress:
            progress(f"{source.name}: {what}")

    config = source.config
    cache, key = ProfileCache(default_folder()), None
    with suppress(OSError):  # a file that cannot be read: the engine says so better
        key = profile_key(source, cores=cores, budget_s=budget_s, crowded=crowded)
    profile = cache.read(key) if key and not fresh else None
    threads = profile.threads if profile else min(config.threads or cores, cores)
    tell("loading")
    engine = OnnxRuntime(source.path, threads=threads)
    try:
        runtime, pipeline = find_pipeline(source, engine)
        for name in config.example:
            if name not in [spec.name for spec in (pipeline or runtime).signature.inputs]:
                raise BadModel(f"{source.path}: the example names an unknown input {name!r}.")
        subject = Subject(source, runtime, pipeline, cores, crowded)
        if profile:
            tell("measured at an earlier start")
            with suppress(Exception):  # what is made up need not be valid
                run_example(subject)
        else:
            profile = find_profile(
                subject,
                threads=threads,
                budget_s=budget_s,
                reopen=lambda threads: OnnxRuntime(source.path, threads=threads),
                keep=engine.take_over,
                tell=tell,
            )
            if key and profile.worth_keeping:
                cache.write(key, profile)
            # What the largest batches took, and the engines that lost a comparison.
            with suppress(Exception), engine.shrinking():
                run_example(subject)
            trim_memory()
        with suppress(Exception):
            warm_up(subject, profile)
    except BaseException:
        engine.close()
        raise
    return Model(source, runtime, pipeline, profile)


class Registry:
    """The book. Models are found by name and, if asked for, version."""

    def __init__(self, sources: Iterable[ModelSource]) -> None:
        """`sources`: what must be loaded before the server is ready."""
        self._entries: dict[str, dict[str, Entry]] = {}
        for source in sources:
            self._entry(source).awaited = True

    def __iter__(self) -> Iterator[Entry]:
        """Every version of every model, by name, the lowest version first."""
        for name in sorted(self._entries):
            yield from self.entries(name)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """All models that are known, ready or not."""
        return sorted(self._entries)

    @property
    def served(self) -> int:
        """Models that answer, or soon will."""
        serving = (ModelState.READY, ModelState.LOADING)
        return len({entry.source.name for entry in self if entry.state in serving})

    def entries(self, name: str) -> list[Entry]:
        """All versions of a model that are known, the lowest first; none of an unknown one."""
        versions = self._entries.get(name, {})
        return [versions[version] for version in sorted(versions, key=int)]

    def versions(self, name: str) -> list[str]:
        """The versions that answer, the lowest first. Raises ModelNotFound."""
        if name not in self._entries:
            raise ModelNotFound(name)
        return [entry.source.version for entry in self.entries(name) if entry.model]

    def get(self, name: str, version: str | None = None) -> Model:
        """A model that answers, the highest version unless one is asked for.

        Raises ModelNotFound or ModelNotReady.
        """
        versions = self._entries.get(name)
        if versions is None:
            raise ModelNotFound(name)
        if version and version not in versions:
            raise ModelNotFound(name, version)
        entries = [versions[version]] if version else self.entries(name)
        for entry in reversed(entries):
            if entry.model:
                return entry.model
        raise ModelNotReady(name, entries[-1].why)

    # --- what happens to a model

    def expect(self, source: ModelSource) -> None:
        """The version is being loaded. One that answers goes on to do so."""
        entry = self._entry(source)
        if entry.model is None:
            entry.state, entry.reason = ModelState.LOADING, ""

    def enter(self, models: Iterable[Model]) -> None:
        """These are all versions of one model that answer from now on; others of it are gone."""
        entries = {
            model.source.version: Entry(model.source, ModelState.READY, model=model)
            for model in models
        }
        (name,) = {entry.source.name for entry in entries.values()}
        self._entries[name] = entries

    def fail(self, name: str, reason: str) -> None:
        """The model could not be loaded. What has answered goes on to do so."""
        for entry in self.entries(name):
            entry.reason = reason
            if entry.model is None:
                entry.state = ModelState.UNAVAILABLE

    def unload(self, name: str) -> list[Entry]:
        """The model answers no more, on purpose. Gives its entries, for `unloaded`."""
        entries = self.entries(name)
        for entry in entries:
            entry.state = ModelState.UNLOADING if entry.model else ModelState.UNAVAILABLE
            entry.reason = "unloading" if entry.model else UNLOADED
            entry.model, entry.awaited = None, False
        return entries

    def unloaded(self, entries: Iterable[Entry]) -> None:
        """What `unload` gave is freed."""
        for entry in entries:
            if entry.state is ModelState.UNLOADING:
                entry.state, entry.reason = ModelState.UNAVAILABLE, UNLOADED

    def forget(self, name: str) -> None:
        """Nothing is known of the model any more."""
        self._entries.pop(name, None)

    def close(self) -> None:
        """Free every model. Nothing may be running."""
        for entry in self:
            entry.state, model, entry.model = ModelState.UNAVAILABLE, entry.model, None
            if model:
                model.runtime.close()

    def _entry(self, source: ModelSource) -> Entry:
        versions = self._entries.setdefault(source.name, {})
        return versions.setdefault(source.version, Entry(source))

"""All models behind one door.

Every door (HTTP, and what else there is) asks for a `deployment` and calls its
`infer` with decoded tensors. The engine loads models off the event loop, gives each
version a deployment, lets a new one take over from an old one between two requests,
and stops them in order.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from weakref import WeakValueDictionary

from batching import Cores, Draining, ThreadExecutor
from models import (
    BadModel,
    Entry,
    Model,
    ModelNotFound,
    ModelNotReady,
    ModelSource,
    Registry,
    find_model,
    load,
    usable_cores,
)

from .deployment import Deployment
from .errors import AdminOff
from .helpers import Helpers
from .observe.lifecycle_log import log_loading, log_ready, log_unloaded
from .observe.tracing import open_tracer
from .retiring import Retiring
from .settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelStatus:
    """What is known of one version of a model, as the protocol's repository index has it."""

    name: str
    version: str | None
    state: str
    """READY, LOADING, UNLOADING or UNAVAILABLE."""
    reason: str
    """Why it does not answer, or why a newer load of it does not; empty if all is well."""


class Engine:
    """All deployments, and their life."""

    def __init__(
        self,
        sources: list[ModelSource],
        settings: Settings,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """`progress`: told what is being loaded, in a few words, from another thread."""
        self.settings = settings
        self.registry = Registry(sources)
        self.deployments: dict[str, Deployment] = {}
        """Of each model the newest version that answers."""
        self.draining = False
        self._versions: dict[tuple[str, str], Deployment] = {}
        self._sources = sources
        self._cores = Cores(usable_cores())
        self._progress = progress
        threads = self._cores.count
        self._helpers = Helpers(ThreadExecutor(threads, name="pipeline"), threads)
        self._tracer = open_tracer() if settings.tracing else None
        self._retiring = Retiring()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._changes: set[asyncio.Task[None]] = set()
        self._loading: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()
        self._awaited = False
        self._failure: BadModel | None = None

    # --- what there is

    def deployment(self, name: str, version: str | None) -> Deployment:
        """What answers for this model; raises ModelNotFound or ModelNotReady.

        Of several versions the highest that is ready, if none is asked for.
        """
        found = (
            self.deployments.get(name) if version is None else self._versions.get((name, version))
        )
        if found is None:
            self.registry.get(name, version)  # says what is wrong with it
            raise ModelNotFound(name, version)
        return found

    def index(self) -> list[ModelStatus]:
        """Every model and version that is known, loaded or not."""
        return [
            ModelStatus(entry.source.name, entry.source.version, entry.state.value, entry.reason)
            for entry in self.registry
        ]

    def models(self) -> list[str]:
        """The names of all models that are known, ready or not."""
        return self.registry.names()

    def versions(self, name: str) -> list[str]:
        """The versions of a model that answer, the lowest first. Raises ModelNotFound."""
        return self.registry.versions(name)

    def model(self, name: str, version: str | None = None) -> Model:
        """A model that answers; raises ModelNotFound or ModelNotReady."""
        return self.registry.get(name, version)

    def why_not_ready(self) -> str | None:
        """What keeps the server from being ready; None if it is.

        What it was started with must answer. A model that was added later or unloaded on
        purpose does not take the server, and all other models, away from its callers.
        """
        if self.draining:
            return "the server is stopping"
        for entry in self.registry:
            if entry.awaited and entry.model is None:
                return f"model {entry.source.name!r}: {entry.why}"
        for (name, _), deployment in self._versions.items():
            if not deployment.batcher.alive:
                return f"model {name!r}: its batcher has died"
        return None

    def why_model_not_ready(self, name: str, version: str | None = None) -> str | None:
        """What keeps a model from answering; None if it answers. Raises ModelNotFound."""
        try:
            self.registry.get(name, version)
        except ModelNotReady as error:
            return "the server is stopping" if self.draining else error.state
        if self.draining:
            return "the server is stopping"
        if not self.deployment(name, version).batcher.alive:
            return "its batcher has died"
        return None

    # --- change

    async def load_model(self, name: str) -> None:
        """Load or reload a model from its folder, for somebody in the network.

        Returns when the new one answers. Raises AdminOff, ModelNotFound, and BadModel, after
        which whatever answered before still does. No message names a file.
        """
        if not self.settings.admin:
            raise AdminOff
        await self.reload(name)

    async def unload_model(self, name: str) -> None:
        """Let a model go, for somebody in the network. Raises AdminOff, ModelNotFound.

        Who waits for it is answered; returns when its memory is free.
        """
        if not self.settings.admin:
            raise AdminOff
        await self.unload(name)

    async def reload(self, name: str) -> None:
        """Load a model as its folder is now. As `load_model`, for who need not ask."""
        await self._change(self._reload(name))

    async def unload(self, name: str, *, forget: bool = False) -> None:
        """Let a model go. `forget`: its files are gone, and nobody should hear of it again."""
        await self._change(self._unload(name, forget))

    async def _change(self, change: Coroutine[Any, Any, None]) -> None:
        """Carry a change through, even if who asked for it does not wait for the end."""
        task = asyncio.create_task(change, name="change a model")
        self._changes.add(task)
        task.add_done_callback(self._changed)
        await asyncio.shield(task)

    def _changed(self, task: asyncio.Task[None]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            task.exception()  # told already, if nobody waits for it any more

    async def _reload(self, name: str) -> None:
        async with self._turn(name):
            self._refuse_when_draining()
            try:
                sources = await asyncio.to_thread(find_model, self.settings.models, name)
                for source in sources:
                    self.registry.expect(source)
                self._install(await self._loaded_from(sources))
            except ModelNotFound:
                if name not in self.registry:
                    raise
                raise self._failed(name, f"the files of model {name!r} are gone") from None
            except BadModel as error:
                raise self._failed(name, str(error)) from error
            except Exception as error:
                logger.exception("model %r could not be loaded", name)
                raise self._failed(name, f"model {name!r}: unexpected {error!r}") from error

    def _failed(self, name: str, why: str) -> BadModel:
        """A load went wrong: the log and the index say so. The error for whoever asked."""
        # Where a file lies is for the log, not for the network.
        logger.error("%s", why)
        self.registry.fail(name, "it cannot be loaded; the server's log says why")
        serves = " The one before it goes on answering." if name in self.deployments else ""
        return BadModel(f"model {name!r} cannot be loaded; the server's log says why.{serves}")

    async def _unload(self, name: str, forget: bool) -> None:
        async with self._turn(name):
            self._refuse_when_draining()
            if name not in self.registry:
                raise ModelNotFound(name)
            entries = self.registry.unload(name)
            ended = self._put(name, {})
            if forget:
                self.registry.forget(name)
        ended.add_done_callback(lambda _: self._unloaded(entries))

    def _unloaded(self, entries: list[Entry]) -> None:
        self.registry.unloaded(entries)
        for entry in entries:
            log_unloaded(entry.source.name, entry.source.version)

    def _turn(self, name: str) -> asyncio.Lock:
        """Changes of one model come one after the other: the last one asked for stands."""
        return self._turns.setdefault(name, asyncio.Lock())

    def _refuse_when_draining(self) -> None:
        if self.draining:
            raise Draining

    async def _loaded_from(
        self, sources: Iterable[ModelSource], progress: Callable[[str], None] | None = None
    ) -> list[Model]:
        """All of these versions, warm. Raises BadModel, and then none of them is left."""
        models: list[Model] = []
        try:
            for source in sources:
                if self._loaded.is_set():
                    log_loading(source)
                models.append(
                    await asyncio.to_thread(
                        load,
                        source,
                        cores=self._cores.count,
                        budget_s=self.settings.profile_budget_s,
                        crowded=self.registry.served > self._cores.count,
                        progress=progress,
                    )
                )
        except BaseException as error:
            for model in models:
                model.runtime.close()
            if isinstance(error, BadModel) or not isinstance(error, Exception):
                raise
            logger.exception("%s could not be loaded", source.path)
            raise BadModel(f"{source.path} could not be loaded; the log says more.") from error
        return models

    def _install(self, models: list[Model]) -> None:
        """These versions of a model answer from now on, and no others of it."""
        deployments = {}
        for model in models:
            deployment = Deployment(model, self.settings, self._cores, self._helpers, self._tracer)
            deployment.batcher.start()
            deployments[deployment.version] = deployment
            # At the start people read it in the banner.
            if self._loaded.is_set() or self.settings.log_format == "json":
                log_ready(deployment)
        self.registry.enter(models)
        self._put(deployment.name, deployments)

    def _deploy(self, model: Model) -> None:
        self._install([model])

    def _put(
        self, name: str, deployments: dict[str, Deployment]
    ) -> asyncio.Future[list[BaseException | None]]:
        """Make these be found, the lowest version first, and let go of what was found before.

        Tables are replaced, not changed: a request finds the one or the other, whole.
        """
        old = [found for (other, _), found in self._versions.items() if other == name]
        self._versions = {
            **{key: found for key, found in self._versions.items() if key[0] != name},
            **{(name, version): found for version, found in deployments.items()},
        }
        table = {key: found for key, found in self.deployments.items() if key != name}
        if deployments:
            table[name] = list(deployments.values())[-1]
        self.deployments = table
        return self._retiring.add(old)

    # --- life

    def start(self) -> None:
        """Begin to load; `loaded` waits for the end of it."""
        self._loading = asyncio.create_task(self._load_all(), name="load models")

    async def loaded(self) -> None:
        """Return when every model has been loaded or has failed; raises the first BadModel."""
        self._awaited = True  # whoever asks says what went wrong
        await self._loaded.wait()
        if self._failure:
            raise self._failure

    async def _load_all(self) -> None:
        for name, sources in groupby(self._sources, key=lambda source: source.name):
            async with self._turn(name):
                try:
                    self._install(await self._loaded_from(sources, self._progress))
                except BadModel as error:
                    if not self._awaited:
                        logger.error("%s", error)
                    # Where a file lies is for the log, not for the network.
                    self.registry.fail(name, "it cannot be loaded; the server's log says why")
                    self._failure = self._failure or error
        self._loaded.set()

    async def stop(self, drain_s: float | None = None) -> bool:
        """End in order; what was accepted is answered. Whether that was done in time.

        drain_s: seconds for that, the settings' own if None.
        """
        drain_s = self.settings.drain_s if drain_s is None else drain_s
        self.draining = True
        changes = [*self._changes, *filter(None, [self._loading])]
        for change in changes:
            change.cancel()  # 1. nothing new is loaded
        await asyncio.gather(*changes, return_exceptions=True)
        self._loaded.set()
        batchers = [found.batcher for found in self._versions.values()]
        batchers += self._retiring.batchers
        drained = [batcher.drain(drain_s) for batcher in batchers]
        in_time = all(await asyncio.gather(*drained))  # 2. what was promised is answered
        for batcher in batchers:
            await batcher.close()  # 3. no more runs; threads joined
        await self._helpers.close()
        self._versions, self.deployments = {}, {}
        await self._retiring.close()
        self.registry.close()  # 4. sessions freed last: nothing can call them now
        if self._tracer:
            await asyncio.to_thread(self._tracer.close)  # 5. the last spans leave
        return in_time

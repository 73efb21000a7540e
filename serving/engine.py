"""All models behind one door.

Every door (HTTP, and what else there is) asks for a `deployment` and calls its
`infer` with decoded tensors. The engine loads the models, one after the other and
off the event loop, gives each its deployment, and stops them in order.
"""

import asyncio
import logging
from collections.abc import Callable

from batching import Cores, ThreadExecutor
from models import (
    BadModel,
    Model,
    ModelNotFound,
    ModelNotReady,
    ModelSource,
    Registry,
    load,
    usable_cores,
)

from .deployment import Deployment
from .settings import Settings

logger = logging.getLogger(__name__)


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
        self._cores = Cores(usable_cores())
        self._progress = progress
        self._helpers = ThreadExecutor(self._cores.count, name="pipeline")
        self.draining = False
        self.sources = sources
        self._loading: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()
        self._awaited = False
        self._failure: BadModel | None = None

    def deployment(self, name: str, version: str | None) -> Deployment:
        """What answers for this model; raises ModelNotFound or ModelNotReady."""
        deployment = self.deployments.get(name)
        if deployment is None:
            self.registry.get(name, version)  # says what is wrong with it
            raise ModelNotFound(name)
        if version is not None and version != deployment.version:
            raise ModelNotFound(name, version)
        return deployment

    def why_not_ready(self) -> str | None:
        """What keeps the server from being ready; None if it is."""
        if self.draining:
            return "the server is stopping"
        for name in self.registry.entries:
            if reason := self.why_model_not_ready(name):
                return f"model {name!r}: {reason}"
        return None

    def why_model_not_ready(self, name: str, version: str | None = None) -> str | None:
        """What keeps a model from answering; None if it answers. Raises ModelNotFound."""
        try:
            self.registry.get(name, version)
        except ModelNotReady as error:
            return error.state
        if not self.deployments[name].batcher.alive:
            return "its batcher has died"
        return None

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
        for source in self.sources:
            try:
                model = await asyncio.to_thread(
                    load,
                    source,
                    cores=self._cores.count,
                    budget_s=self.settings.profile_budget_s,
                    progress=self._progress,
                )
                self._deploy(model)
            except Exception as error:
                if isinstance(error, BadModel):
                    if not self._awaited:
                        logger.error("%s", error)
                else:
                    logger.exception("%s could not be loaded", source.path)
                    error = BadModel(f"{source.path} could not be loaded; the log says more.")
                # Where a file lies is for the log, not for the network.
                self.registry.fail(source, "it cannot be loaded; the server's log says why")
                self._failure = self._failure or error
        self._loaded.set()

    def _deploy(self, model: Model) -> None:
        deployment = Deployment(model, self.settings, self._cores, self._helpers)
        deployment.batcher.start()
        self.deployments[deployment.name] = deployment
        self.registry.enter(model)

    async def stop(self) -> None:
        """End in order; what was accepted is answered."""
        self.draining = True
        if self._loading is not None:
            self._loading.cancel()  # 1. nothing new is loaded
            await asyncio.gather(self._loading, return_exceptions=True)
            self._loaded.set()
        batchers = [deployment.batcher for deployment in self.deployments.values()]
        drained = [batcher.drain(self.settings.drain_s) for batcher in batchers]
        await asyncio.gather(*drained)  # 2. what was promised is answered
        for batcher in batchers:
            await batcher.close()  # 3. no more runs; threads joined
        self._helpers.close()
        self.deployments.clear()
        self.registry.close()  # 4. sessions freed last: nothing can call them now

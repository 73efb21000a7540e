"""The way of a request, from decoded tensors to outputs.

    decode ─► check ─► admit ─► queue ─► plan ─► stack ─► run ─► scatter ─► encode

Every door (HTTP, and what else there is) calls `infer` with decoded tensors. The
engine also owns the deployments: it loads them, one after the other, off the
event loop, and stops them in order.
"""

import asyncio
import logging
from dataclasses import dataclass

from batching import Batch
from models import (
    BadModel,
    Model,
    ModelNotFound,
    ModelNotReady,
    ModelSource,
    Registry,
    Tensors,
    load,
    usable_cores,
)

from .deployment import Deployment
from .settings import Settings

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Answer:
    """A model's outputs, and how the request fared."""

    model_name: str
    model_version: str
    outputs: Tensors
    waited_s: float
    batch: Batch | None


class Engine:
    """All deployments behind one `infer`."""

    def __init__(self, sources: list[ModelSource], settings: Settings) -> None:
        self.settings = settings
        self.registry = Registry(sources)
        self.deployments: dict[str, Deployment] = {}
        self.draining = False
        self.sources = sources
        self._loading: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()
        self._failure: BadModel | None = None

    async def infer(self, name: str, version: str | None, inputs: Tensors) -> Answer:
        """Run the inputs through the model, together with whoever else is there.

        Raises ModelError for what is wrong with the request, BatchingError for what
        went wrong on the way. Cancel it when the caller has gone.
        """
        deployment = self._deployment(name, version)
        checked = deployment.signature.check(inputs)
        ticket = deployment.batcher.ticket(
            inputs,
            rows=max(1, checked.rows),
            key=checked.key,
            timeout_s=deployment.slo_s,
        )
        outputs = await deployment.batcher.carry(ticket)
        batch = ticket.batch
        waited_s = batch.cut_at - ticket.arrived if batch else 0.0
        return Answer(deployment.name, deployment.version, outputs, waited_s, batch)

    def wait_s(self, name: str) -> float:
        """About how long a request for this model waits for its answer; 0 if there is none."""
        deployment = self.deployments.get(name)
        return deployment.wait_s if deployment else 0.0

    def _deployment(self, name: str, version: str | None) -> Deployment:
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
        await self._loaded.wait()
        if self._failure:
            raise self._failure

    async def _load_all(self) -> None:
        cores = usable_cores()
        for source in self.sources:
            try:
                model = await asyncio.to_thread(load, source, cores=cores)
                self._deploy(model)
            except Exception as error:
                if not isinstance(error, BadModel):
                    logger.exception("%s could not be loaded", source.path)
                    error = BadModel(f"{source.path} could not be loaded; the log says more.")
                self.registry.fail(source, str(error))
                self._failure = self._failure or error
        self._loaded.set()

    def _deploy(self, model: Model) -> None:
        deployment = Deployment(model, self.settings)
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
        self.deployments.clear()
        self.registry.close()  # 4. sessions freed last: nothing can call them now

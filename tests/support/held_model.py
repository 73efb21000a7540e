"""A model that runs when the test says so, in an engine like any other."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from models import Model, ModelConfig, ModelSource, Signature, Tensors, TensorSpec
from serving.deployment import Deployment
from serving.engine import Engine
from serving.settings import Settings

from . import wire
from .asgi import WAIT_S

SOURCE = ModelSource("held", "1", Path("held.onnx"), ModelConfig(max_batch_rows=1))
INFER = "/v2/models/held/infer"


class HeldModel:
    """y = x, [batch, 1], one row a run. Every run waits for `let_go`, which lets all of them go."""

    signature = Signature(
        (TensorSpec("x", np.dtype("f4"), ("batch", 1)),),
        (TensorSpec("y", np.dtype("f4"), ("batch", 1)),),
    )

    def __init__(self) -> None:
        self.ran: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._started = asyncio.Event()
        self._released = threading.Event()

    def run(self, inputs: Tensors) -> Tensors:
        self._loop.call_soon_threadsafe(self._started.set)
        assert self._released.wait(WAIT_S)
        self.ran += np.ravel(inputs["x"]).tolist()
        return {"y": inputs["x"]}

    def close(self) -> None:
        pass

    def let_go(self) -> None:
        self._released.set()

    async def started(self) -> None:
        """Return when the first run is under way."""
        await asyncio.wait_for(self._started.wait(), WAIT_S)


@asynccontextmanager
async def held(
    *, measured_s: float = 1.0, **settings: Any
) -> AsyncIterator[tuple[HeldModel, Engine]]:
    """The model, deployed. `measured_s`: what a run is said to take."""
    model = HeldModel()
    engine = Engine([SOURCE], Settings(**settings))
    entry = Model(SOURCE, model, {1: measured_s})
    deployment = engine.deployments["held"] = Deployment(entry, engine.settings)
    engine.registry.enter(entry)
    deployment.batcher.start()
    try:
        yield model, engine
    finally:
        model.let_go()
        await engine.stop()


def ask(value: float) -> bytes:
    """The body of a request for one row."""
    return wire.request(wire.tensor(shape=[1, 1], data=[value]))

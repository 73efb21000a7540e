"""A model that runs when the test says so, in an engine like any other."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from onnx import TensorProto

from models import ModelConfig, ModelSource, Runtime, Tensors, load
from serving.engine import Engine
from serving.settings import Settings

from . import onnx_models, wire
from .asgi import WAIT_S

INFER = "/v2/models/held/infer"


class HeldModel:
    """y = x, [batch, 1], one row a run. Every run waits for `let_go`, which lets all of them go."""

    def __init__(self, runtime: Runtime) -> None:
        self.signature = runtime.signature
        self.ran: list[float] = []
        self._runtime = runtime
        self._loop = asyncio.get_running_loop()
        self._started = asyncio.Event()
        self._released = threading.Event()

    def run(self, inputs: Tensors) -> Tensors:
        self._loop.call_soon_threadsafe(self._started.set)
        assert self._released.wait(WAIT_S)
        self.ran += np.ravel(inputs["x"]).tolist()
        return self._runtime.run(inputs)

    def close(self) -> None:
        self._runtime.close()

    def let_go(self) -> None:
        self._released.set()

    def hold(self) -> None:
        """Let runs wait again, and forget that one was started. None may be under way."""
        self._released.clear()
        self._started.clear()

    async def started(self) -> None:
        """Return when the first run is under way."""
        await asyncio.wait_for(self._started.wait(), WAIT_S)


@asynccontextmanager
async def held(**settings: Any) -> AsyncIterator[tuple[HeldModel, Engine]]:
    """The model, deployed."""
    with TemporaryDirectory() as folder:
        path = onnx_models.identity(Path(folder) / "held.onnx", TensorProto.FLOAT, ["batch", 1])
        source = ModelSource("held", "1", path, ModelConfig(max_batch_rows=1))
        loaded = load(source, cores=1)
    model = HeldModel(loaded.runtime)
    engine = Engine([source], Settings(**settings))
    engine._deploy(replace(loaded, runtime=model))
    try:
        yield model, engine
    finally:
        model.let_go()
        await engine.stop()


def ask(value: float) -> bytes:
    """The body of a request for one row."""
    return wire.request(wire.tensor(shape=[1, 1], data=[value]))

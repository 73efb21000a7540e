"""The composition root: settings in, an ASGI application out."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from models import find_models

from .engine import Engine
from .gate import App, Gate, Inference
from .http import create_http_app
from .observe.access import AccessLog
from .observe.report import Reports
from .settings import Settings
from .watch import watching


def create_app(settings: Settings | None = None) -> App:
    """The server as an ASGI application, for any ASGI server: `serving.app:create_app`.

    Raises BadModel if there is nothing to serve at the settings' paths.
    """
    settings = settings or Settings()
    return compose(Engine(find_models(settings.models), settings))


def compose(
    engine: Engine, inference: Inference | None = None, reports: Reports | None = None
) -> App:
    """The doors in front of an engine, which starts and stops with the application's lifespan.

    reports: what the numbers are of, if not of this process alone.
    Where there is no lifespan, somebody else leads the engine's life: see `lifecycle`.
    """

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        settings = engine.settings
        grpc = None
        if settings.grpc_port:
            from .grpc import GrpcServer  # its import is paid by who asks for it

            grpc = GrpcServer(engine)
            await grpc.start()
        try:
            async with watching(engine) if settings.watch else nullcontext():
                engine.start()
                yield
        finally:
            engine.draining = True
            until = time.monotonic() + settings.drain_s
            if grpc is not None:
                # Before the engine: what is under way there is answered.
                await grpc.finish(until)
            await engine.stop(max(0.0, until - time.monotonic()))

    inference = inference or Inference(engine)
    gate = Gate(create_http_app(engine, inference, lifespan, reports), inference)
    return AccessLog(gate) if engine.settings.access_log else gate

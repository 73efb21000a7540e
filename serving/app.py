"""The composition root: settings in, an ASGI application out."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

from models import find_models

from .engine import Engine
from .gate import App, Gate, Inference, Message, Receive, Send
from .observe.access import AccessLog
from .observe.report import Reports
from .settings import Settings
from .watch import watching

if TYPE_CHECKING:
    from .http.app import Lifespan


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
    return _behind_gate(_http_app(engine, inference, lifespan, reports), engine, inference)


def compose_later(
    engine: Engine, inference: Inference, reports: Reports | None = None
) -> tuple[App, "Later"]:
    """`compose` for who leads the engine's life, and wants to infer before all else is there."""
    later = Later(lambda: _http_app(engine, inference, None, reports))
    return _behind_gate(later, engine, inference), later


class Later:
    """An application that is made on another thread, once: when it is first asked for or before.

    To import FastAPI and to set up its routes takes 0.2 s, which no inference needs to wait for.
    """

    def __init__(self, make: Callable[[], App]) -> None:
        self._make = make
        self._app: App | None = None
        self._making: asyncio.Future[App] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        app = self._app or await self.made()
        await app(scope, receive, send)

    async def made(self) -> App:
        """Make it, unless somebody did. Raises what its making raised, each time."""
        if self._making is None:
            self._making = asyncio.ensure_future(asyncio.to_thread(self._make))
        # Whoever waits may leave; the others go on waiting.
        self._app = await asyncio.shield(self._making)
        return self._app


def _behind_gate(app: App, engine: Engine, inference: Inference) -> App:
    gate = Gate(app, inference)
    return AccessLog(gate) if engine.settings.access_log else gate


def _http_app(
    engine: Engine, inference: Inference, lifespan: "Lifespan | None", reports: Reports | None
) -> App:
    from .http import create_http_app  # nothing else here needs FastAPI

    return create_http_app(engine, inference, lifespan, reports)

"""The composition root: settings in, an ASGI application out."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from models import find_models

from .engine import Engine
from .gate import App, Gate, Inference
from .http import create_http_app
from .settings import Settings


def create_app(settings: Settings | None = None) -> App:
    """The server as an ASGI application, for any ASGI server: `serving.app:create_app`.

    Raises BadModel if there is nothing to serve at the settings' paths.
    """
    settings = settings or Settings()
    return compose(Engine(find_models(settings.models), settings))


def compose(engine: Engine, inference: Inference | None = None) -> App:
    """The doors in front of an engine. It starts and stops with the application's lifespan."""

    grpc: AbstractAsyncContextManager[object] = nullcontext()
    if engine.settings.grpc_port:
        from .grpc import GrpcServer  # its import is paid by who asks for it

        grpc = GrpcServer(engine)

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        engine.start()
        try:
            # Stopped before the engine: what is under way there is answered.
            async with grpc:
                yield
        finally:
            await engine.stop()

    inference = inference or Inference(engine)
    return Gate(create_http_app(engine, inference, lifespan), inference)

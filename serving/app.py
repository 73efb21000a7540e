"""The composition root: settings in, an ASGI application out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        engine.start()
        try:
            yield
        finally:
            await engine.stop()

    inference = inference or Inference(engine)
    return Gate(create_http_app(engine, inference, lifespan), inference)

"""`jitney serve`: from paths to a listening server."""

import asyncio
import errno
import gc
import logging
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import uvicorn

from models import BadModel, find_models

from ..app import compose
from ..engine import Engine
from ..settings import Settings
from ..version import VERSION
from .banner import serving_banner
from .errors import Mistake
from .options import settings_options


@click.command()
@click.argument(
    "models", nargs=-1, type=click.Path(path_type=Path), envvar="JITNEY_MODELS", metavar="[PATH]..."
)
@settings_options
def serve(models: tuple[Path, ...], **values: Any) -> None:
    """Serve the models at PATH over HTTP.

    A PATH is an .onnx file, or a folder with <name>/<version>/model.onnx in it.
    Without one, the shipped models are served.
    """
    began = time.perf_counter()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings(models=models, **values)
        sources = find_models(models)
    except (ValueError, BadModel) as error:
        raise Mistake(str(error)) from error
    listener = _listen(settings)
    engine = Engine(sources, settings)
    config = uvicorn.Config(
        compose(engine),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=settings.access_log,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        # Past this, what still runs is cut off.
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(_Server(config), engine, listener, began))


def _listen(settings: Settings) -> socket.socket:
    """Bind before anything is loaded, so that a port in use is told at once."""
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        where = f"port {settings.port} of {settings.host}"
        if error.errno == errno.EADDRINUSE:
            raise Mistake(
                f"{where} is in use; stop what listens there or choose another: "
                f"--port {settings.port + 1}"
            ) from error
        raise Mistake(f"cannot listen on {where}: {error.strerror or error}") from error
    except OverflowError as error:
        raise Mistake(str(error)) from error


async def _run(server: "_Server", engine: Engine, listener: socket.socket, began: float) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    names = ", ".join(source.name for source in engine.sources)
    click.echo(f"Jitney {VERSION} listens on {url} and loads {names}", err=True)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    mistake: BadModel | None = None
    try:
        await engine.loaded()
    except BadModel as error:
        mistake = error
        server.should_exit = True
    else:
        _settle()
        if not server.should_exit:
            click.echo(serving_banner(engine, url, time.perf_counter() - began), err=True)
    await serving
    if mistake:
        raise Mistake(str(mistake))


def _settle() -> None:
    """Keep the garbage collector away from what is there for good.

    A full collection walks every module and route, 40 ms on the event loop; what
    a request leaves behind is freed by its reference counts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class _Server(uvicorn.Server):
    """uvicorn's server, which ends on a signal with exit code 0 instead of raising it again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

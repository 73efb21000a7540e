"""A server process: it binds, loads, serves, and ends on a signal.

uvicorn does the serving. What is ours is the order, of which `lifecycle` tells: the port is
taken before anything is loaded, and requests are answered (with 503) while models load.
"""

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial

import uvicorn

from models import find_models

from .app import Later, compose_later
from .door import Door
from .engine import Engine
from .gate import Inference
from .http_server import HttpServer
from .lifecycle import Doors, Lifecycle, Phase, stopped_by_signals
from .listening import CannotListen, listen, url_of
from .observe.report import Reports
from .preface import Preface
from .settings import GRACE_S, Settings
from .watch import look_for_watchfiles

logger = logging.getLogger(__name__)


def serve(
    settings: Settings,
    *,
    listening: Callable[[Engine, str], None],
    ready: Callable[[Engine, str], None],
    progress: Callable[[str], None] | None = None,
) -> None:
    """Serve until a signal comes. Blocks.

    progress: told what is being loaded, in a few words, from another thread.
    listening, ready: told the engine and the URL, once the port is bound and once
    every model answers.

    Raises BadModel if a model cannot be served, CannotListen if the address cannot be had,
    CannotWatch if that was asked for and its package is missing.
    """
    engine = Engine(find_models(settings.models), settings, progress)
    listener = listen(settings.host, settings.port)
    url = url_of(listener)
    look_for_packages(settings)
    if settings.grpc_port:
        listen(settings.host, settings.grpc_port, "--grpc-port").close()
    listening(engine, url)
    lead(engine, listener, ready=lambda: ready(engine, url))


def lead(
    engine: Engine,
    listener: socket.socket,
    *,
    ready: Callable[[], None],
    reports: Reports | None = None,
    beside: Callable[[Lifecycle], AbstractAsyncContextManager[None]] | None = None,
) -> None:
    """Serve with this engine on this socket until a signal comes. Blocks.

    ready: called once every model answers, and everything else can be asked for.
    reports: what the numbers are of, if not of this process alone.
    beside: entered before the port is opened, left after everything else.

    Raises BadModel if a model cannot be served.
    """
    settings = engine.settings
    inference = Inference(engine)
    app, later = compose_later(engine, inference, reports)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=partial(Door, inference, Preface()),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",  # life is led by Lifecycle
        access_log=settings.access_log,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    doors: list[Doors] = [HttpServer(config, listener)]
    if settings.grpc_port:
        from .grpc import GrpcServer  # its import is paid by who asks for it

        doors.append(GrpcServer(engine, reports))
    lifecycle = Lifecycle(engine, doors)
    last_resort = LastResort()

    def stopping(phase: Phase) -> None:
        if phase is Phase.STARTING:
            # Nothing was promised to anybody; but a file that is being read cannot be interrupted.
            last_resort.set(GRACE_S, status=0)
        else:
            last_resort.set(settings.lame_duck_s + settings.drain_s + GRACE_S, status=1)

    soon: set[asyncio.Task[None]] = set()

    def on_ready() -> None:
        _settle()
        # Who infers is answered already, and need not wait for it.
        soon.add(asyncio.create_task(_make(later, ready)))

    async def run() -> None:
        with stopped_by_signals(lifecycle):
            async with beside(lifecycle) if beside else nullcontext():
                if not await lifecycle.run(ready=on_ready, stopping=stopping):
                    logger.error("time was up before all that was accepted could be answered")

    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(run())
    finally:
        last_resort.cancel()


async def _make(later: Later, ready: Callable[[], None]) -> None:
    """Have all routes there, and say so."""
    try:
        await later.made()
    except Exception:
        logger.exception("the routes other than inference cannot be served")
    _settle()
    ready()


class LastResort:
    """Ends the process when its time is up, though a thread of it may never end."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def set(self, after_s: float, *, status: int) -> None:
        """End in so many seconds, with this exit code."""
        self._timer = threading.Timer(after_s, self._end, [status])
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        """It ended by itself."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self, status: int) -> None:
        if status:
            logger.error("it did not stop in time, and is ended now")
        sys.stderr.flush()
        os._exit(status)


def look_for_packages(settings: Settings) -> None:
    """Say at once, and in one line, what would fail later. Raises CannotListen, CannotWatch."""
    if settings.watch:
        look_for_watchfiles()
    if not settings.grpc_port:
        return
    try:
        from . import grpc  # noqa: F401
    except (ImportError, RuntimeError) as error:  # missing, or older than what is generated
        raise CannotListen(
            f"--grpc-port needs packages that are not there: pip install 'jitney[grpc]' ({error})"
        ) from error


def _settle() -> None:
    """Make the interpreter fit for serving, once everything is loaded.

    The garbage collector is kept away from what is there for good: a full collection
    walks every module and route, 40 ms on the event loop, and what a request leaves
    behind is freed by its reference counts.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    # A thread that has run a batch must not wait 5 ms for the interpreter to say so.
    sys.setswitchinterval(5e-4)

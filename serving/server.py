"""A server process: it binds, loads, serves, and ends on a signal.

uvicorn does the serving. What is ours is the order: the port is taken before
anything is loaded, and requests are answered (with 503) while models load.
"""

import asyncio
import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import uvicorn

from models import BadModel, find_models

from .app import compose
from .door import Door
from .engine import Engine
from .gate import Inference
from .settings import Settings


class CannotListen(Exception):
    """The address cannot be had. The message is for whoever starts the server."""


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

    Raises BadModel if a model cannot be served, CannotListen if the address cannot be had.
    """
    engine = Engine(find_models(settings.models), settings, progress)
    listener = _listen(settings.host, settings.port)
    url = _url(listener)
    _look_for_grpc(settings)
    listening(engine, url)
    inference = Inference(engine)
    config = uvicorn.Config(
        compose(engine, inference),
        loop="uvloop",
        http=partial(Door, inference),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        access_log=settings.access_log,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        # Past this, what still runs is cut off.
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(_Server(config), engine, listener, lambda: ready(engine, url)))


async def _run(
    server: "_Server", engine: Engine, listener: socket.socket, ready: Callable[[], None]
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    failure: BadModel | None = None
    try:
        await engine.loaded()
    except BadModel as error:
        failure = error
        server.should_exit = True
    else:
        _settle()
        if not server.should_exit:
            ready()
    await serving
    if failure:
        raise failure


def _look_for_grpc(settings: Settings) -> None:
    """Say at once, and in one line, what would keep gRPC from listening later."""
    if not settings.grpc_port:
        return
    try:
        from . import grpc  # noqa: F401
    except (ImportError, RuntimeError) as error:  # missing, or older than what is generated
        raise CannotListen(
            f"--grpc-port needs packages that are not there: pip install 'jitney[grpc]' ({error})"
        ) from error
    _listen(settings.host, settings.grpc_port, "--grpc-port").close()


def _listen(host: str, port: int, flag: str = "--port") -> socket.socket:
    where = f"port {port} of {host}"
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"{where} is in use; stop what listens there or choose another: {flag} {port + 1}"
            ) from error
        raise CannotListen(f"cannot listen on {where}: {error.strerror or error}") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    # Nobody can send a request to "every interface".
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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

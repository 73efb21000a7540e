"""`jitney serve`: the command line in front of `serving.server`."""

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..settings import Settings
from ..version import VERSION
from .errors import Mistake
from .options import settings_options
from .progress import Progress

if TYPE_CHECKING:
    from ..engine import Engine


@click.command()
@click.argument(
    "models", nargs=-1, type=click.Path(path_type=Path), envvar="JITNEY_MODELS", metavar="[PATH]..."
)
@settings_options
@click.option("--live", is_flag=True, help="Show requests, latencies and queues while it serves")
def serve(models: tuple[Path, ...], live: bool, **values: Any) -> None:
    """Serve the models at PATH over HTTP, and over gRPC if it is given a port.

    A PATH is an .onnx file, or a folder with <name>/<version>/model.onnx in it.
    Without one, the shipped models are served.
    """
    began = time.perf_counter()
    try:
        settings = Settings(models=models, **values)
    except ValueError as error:
        raise Mistake(f"{error}.") from error

    if settings.workers > 1:
        if live:
            raise Mistake("--live shows a server of one process: leave out --live or --workers.")
        _serve_with_workers(settings)
        return

    # Half a second of imports: only for who serves, and counted in what it takes.
    from models import BadModel

    from ..listening import CannotListen
    from ..observe.logs import configure_logs
    from ..observe.tracing import CannotTrace
    from ..server import serve as serve_until_signal
    from ..watch import CannotWatch
    from .banner import serving_banner

    configure_logs(settings.log_format)

    def listening(engine: "Engine", url: str) -> None:
        click.echo(_listens(settings, engine.models(), url), err=True)
        names = [status.name for status in engine.index()]
        progress.expect(names, settings.profile_budget_s)

    def ready(engine: "Engine", url: str) -> None:
        progress.clear()
        click.echo(serving_banner(engine, url, time.perf_counter() - began), err=True)
        if live:
            from .live import live_view

            shown.enter_context(live_view(engine, url))

    try:
        with ExitStack() as shown:
            progress = shown.enter_context(Progress(sys.stderr))
            serve_until_signal(settings, listening=listening, ready=ready, progress=progress)
    except (BadModel, CannotListen, CannotTrace, CannotWatch) as error:
        raise Mistake(str(error)) from error


def _listens(settings: Settings, names: list[str], url: str) -> str:
    grpc = f" (gRPC on port {settings.grpc_port})" if settings.grpc_port else ""
    return f"Jitney {VERSION} listens on {url}{grpc} and loads {', '.join(names)}"


def _serve_with_workers(settings: Settings) -> None:
    from ..listening import CannotListen
    from ..observe.logs import configure_logs
    from ..workers import CannotServe, supervise

    configure_logs(settings.log_format)

    def listening(names: list[str], url: str) -> None:
        click.echo(_listens(settings, names, url), err=True)

    def ready(banner: str) -> None:
        progress.clear()
        click.echo(banner, err=True)

    try:
        with Progress(sys.stderr) as progress:
            in_time = supervise(settings, listening=listening, ready=ready, progress=progress)
    except (CannotServe, CannotListen) as error:
        raise Mistake(str(error)) from error
    if not in_time:
        sys.exit(1)

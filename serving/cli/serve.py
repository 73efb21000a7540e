"""`jitney serve`: the command line in front of `serving.server`."""

import sys
import time
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
def serve(models: tuple[Path, ...], **values: Any) -> None:
    """Serve the models at PATH over HTTP, and over gRPC if it is given a port.

    A PATH is an .onnx file, or a folder with <name>/<version>/model.onnx in it.
    Without one, the shipped models are served.
    """
    began = time.perf_counter()
    try:
        settings = Settings(models=models, **values)
    except ValueError as error:
        raise Mistake(f"{error}.") from error

    # Half a second of imports: only for who serves, and counted in what it takes.
    from models import BadModel

    from ..observe.logs import configure_logs
    from ..observe.tracing import CannotTrace
    from ..server import CannotListen
    from ..server import serve as serve_until_signal
    from ..watch import CannotWatch
    from .banner import serving_banner

    configure_logs(settings.log_format)

    def listening(engine: "Engine", url: str) -> None:
        names = ", ".join(engine.models())
        grpc = f" (gRPC on port {settings.grpc_port})" if settings.grpc_port else ""
        click.echo(f"Jitney {VERSION} listens on {url}{grpc} and loads {names}", err=True)

    def ready(engine: "Engine", url: str) -> None:
        progress.clear()
        click.echo(serving_banner(engine, url, time.perf_counter() - began), err=True)

    try:
        with Progress(sys.stderr) as progress:
            serve_until_signal(settings, listening=listening, ready=ready, progress=progress)
    except (BadModel, CannotListen, CannotTrace, CannotWatch) as error:
        raise Mistake(str(error)) from error

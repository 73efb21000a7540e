"""`jitney map`: a whole table through a model."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..settings import Settings
from .errors import Mistake
from .options import setting_option
from .progress import Progress

if TYPE_CHECKING:
    from ..mapping import Outcome
    from ..mapping.job import EngineOf

SOME_SET_ASIDE = 3
TOO_MANY_SET_ASIDE = 4
INTERRUPTED = 130

OFTEN_S = 0.2
SELDOM_S = 10.0
"""How often progress is told: where a line rewrites itself, and where each stays."""

SWITCH_S = 5e-4
"""How long a thread may hold the interpreter while others want it. A thread that has run a
batch wants it for a moment only, and the core idles until it gets it."""


@click.command(name="map")
@click.argument("model")
@click.argument("table", type=click.Path(path_type=Path), metavar="INPUT")
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=COLUMN",
    help="The column for an input, or several for a vector: x=a,b,c or x='pixel_*'",
)
@click.option(
    "--keep",
    metavar="COLUMNS",
    help="Columns to keep, as id,label or 'meta_*'; '' is none. All, if not given",
)
@click.option(
    "--as",
    "named",
    multiple=True,
    metavar="NAME=COLUMN",
    help="Another name for an output's column",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="K",
    help="Of a vector of scores, only the K best: places or labels, and scores",
)
@click.option(
    "--max-rejected",
    type=click.IntRange(min=0),
    metavar="N",
    help="End when more than N rows had to be set aside",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where the model runs: on this machine, or on all of a Ray cluster",
)
@click.option(
    "--ray-address",
    metavar="HOST:PORT",
    help="The Ray cluster's head; RAY_ADDRESS, or a cluster on this machine, if not given",
)
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT, and parts of another run into it")
@setting_option("profile_budget_s")
def map_table(
    model: str,
    table: Path,
    output: Path,
    inputs: tuple[str, ...],
    keep: str | None,
    named: tuple[str, ...],
    top: int | None,
    max_rejected: int | None,
    engine: str,
    ray_address: str | None,
    overwrite: bool,
    profile_budget_s: float,
) -> None:
    """Run every row of INPUT through MODEL, and write the answers to OUTPUT.

    MODEL is an .onnx file, a model's folder, or the name of a shipped model. INPUT is a Parquet,
    CSV or JSON lines file, or a folder of them; OUTPUT the same, by its suffix; without one it
    becomes a folder. If it is interrupted or killed, the same command goes on where it was.

    Rows that cannot be used are set aside in OUTPUT.rejected.jsonl, with the reason. The exit
    code is 0 if all rows are in OUTPUT, 3 if some were set aside, 4 if too many were.
    """
    try:
        Settings(profile_budget_s=profile_budget_s)
    except ValueError as error:
        raise Mistake(f"{error}.") from error
    # What goes wrong with a row is written beside it.
    logging.getLogger("models").setLevel(logging.CRITICAL)
    try:
        from .. import mapping
    except ImportError as error:
        raise Mistake(
            f"jitney map needs the {error.name} package: pip install 'jitney[map]'."
        ) from error
    from models import BadModel, usable_cores

    if ray_address is not None and engine != "ray":
        raise Mistake("--ray-address goes with --engine ray.")
    sys.setswitchinterval(SWITCH_S)
    job = mapping.Job(
        model=model,
        input=table,
        output=output,
        inputs=inputs,
        keep=keep,
        named=named,
        top=top or 0,
        max_rejected=max_rejected,
        overwrite=overwrite,
    )
    try:
        with (
            _engine(engine, ray_address) as (engine_of, machine_cores),
            Progress(sys.stderr) as progress,
        ):
            outcome = mapping.run(
                job,
                cores=min(usable_cores(), machine_cores or usable_cores()),
                budget_s=profile_budget_s,
                engine_of=engine_of,
                tell=_now_and_then(progress),
                say=_above(progress),
            )
    except (mapping.CannotMap, BadModel) as error:
        raise Mistake(str(error)) from error
    except mapping.TooManyRejected as error:
        click.echo(f"jitney: {error}. What is done is kept for a run that allows more.", err=True)
        sys.exit(TOO_MANY_SET_ASIDE)
    except OSError as error:
        raise Mistake(
            f"{error}. What is done is kept; put it right, and the same command goes on."
        ) from error
    except KeyboardInterrupt:
        click.echo("jitney: interrupted; the same command goes on where it was.", err=True)
        sys.exit(INTERRUPTED)
    click.echo(_summary(outcome), err=True)
    if outcome.rejected:
        sys.exit(SOME_SET_ASIDE)


def _engine(
    name: str, ray_address: str | None
) -> AbstractContextManager[tuple["EngineOf", int | None]]:
    """What makes the engine, and the cores of its smallest machine, if that is not this one.

    Raises CannotMap if there is no cluster.
    """
    if name == "local":
        from ..mapping.job import local

        return nullcontext((local, None))
    try:
        from ..mapping.ray import connected
    except ImportError as error:
        raise Mistake(
            f"--engine ray needs the {error.name} package: pip install 'jitney[ray]'."
        ) from error
    return connected(ray_address)


def _summary(outcome: "Outcome") -> str:
    from ..mapping.progress import duration

    output = outcome.output
    if outcome.here:
        rate = outcome.here / max(outcome.seconds, 1e-9)
        how = f"{outcome.rows:,} rows in {output.path}, {duration(outcome.seconds)}, {rate:,.0f}/s"
    else:
        how = f"{output.path} is complete: {outcome.rows:,} rows"
    if not outcome.rejected:
        return how
    return f"{how}; {outcome.rejected:,} set aside in {output.rejected_path}"


def _now_and_then(progress: Progress) -> Callable[[str], None]:
    every_s = OFTEN_S if sys.stderr.isatty() else SELDOM_S
    last = time.monotonic()

    def tell(sentence: str) -> None:
        nonlocal last
        if time.monotonic() >= last + every_s:
            progress(sentence)
            last = time.monotonic()

    return tell


def _above(progress: Progress) -> Callable[[str], None]:
    """Says what stays on the screen, above the line that rewrites itself."""

    def say(sentence: str) -> None:
        progress.clear()
        click.echo(sentence, err=True)

    return say

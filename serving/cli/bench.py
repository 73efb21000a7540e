"""`jitney bench`: what callers see who come when they like, at given rates or the highest good."""

import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import Mistake
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..bench.figures import Figures
    from ..bench.limits import Limit
    from ..bench.plan import Plan
    from ..bench.search import Found
    from ..bench.session import Beyond, Session

SEARCH_BEGINS = 200.0
_MANY = ("--rate", "--overload")


class _BenchFailed(Mistake):
    """What the person at the keyboard cannot put right."""

    exit_code = 1


def _is_number(text: str) -> bool:
    try:
        return float(text) >= 0
    except ValueError:
        return False


class _TakesSeveral(click.Command):
    """A command to which `--rate 1000 2000` is two rates; `--rate 1000,2000` is too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        option = ""
        for arg in args:
            name, _, value = arg.partition("=")
            if name in _MANY:
                option = name
                spread += [f"{name}={number}" for number in value.split(",") if number]
            elif option and all(map(_is_number, arg.split(","))):
                spread += [f"{option}={number}" for number in arg.split(",") if number]
            else:
                option = ""
                spread.append(arg)
        return super().parse_args(ctx, spread)


@click.command(cls=_TakesSeveral)
@click.argument("url", metavar="URL")
@click.option("--model", metavar="NAME", help="Which, where URL is a server's and not a model's")
@click.option(
    "--body",
    "body_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What to send: JSON, JSON with binary tensors behind it, or .jsonl, of which each "
    "line is sent in turn; else made from the model's example",
)
@click.option("--binary", is_flag=True, help="Tensors as bytes, where the body is made")
@click.option("--rows", type=click.IntRange(1), default=1, help="Of a body that is made")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="Sent too")
@click.option(
    "--rate", "rates", type=float, multiple=True, metavar="R...", help="Requests a second; a curve"
)
@click.option("--search", is_flag=True, help="Find the highest rate whose p99 is within the SLO")
@click.option(
    "--overload",
    "multiples",
    type=float,
    multiple=True,
    metavar="M...",
    help="Go on at these multiples of what the search found, each between two runs at it",
)
@click.option("--slo-ms", type=float, default=100.0, show_default=True, help="In time is within it")
@click.option("--seconds", type=float, default=5.0, show_default=True, help="Of each run")
@click.option(
    "--warm-up", "warm_up_s", type=float, default=1.0, show_default=True, help="Seconds before each"
)
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "bursts", "steady"]),
    default="poisson",
    show_default=True,
    help="How requests are spread in time",
)
@click.option("--burst", default=20, show_default=True, help="Requests that come at once in bursts")
@click.option("--repeats", default=3, show_default=True, help="Runs of which a majority decides")
@click.option("--precision", default=0.03, show_default=True, help="Of the search; 0.03 is 3%")
@click.option("--connections", type=click.IntRange(1), default=2000, show_default=True, help="Most")
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="That send"
)
@click.option(
    "--timeout",
    "timeout_s",
    type=float,
    default=10.0,
    show_default=True,
    help="A caller's patience",
)
@click.option("--max-lateness-ms", type=float, help="Void above it; default 2% of the SLO, or 1 ms")
@click.option("--max-seconds", default=600.0, show_default=True, help="After which a search ends")
@click.option("--seed", default=0, show_default=True, help="Of the arrivals")
@click.option("--require", metavar="LIMITS", help='Exit code 1 unless, as in "p99<=100,lost<=0"')
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help=".svg or .png")
@click.option(
    "--json", "json_file", metavar="FILE", help="All figures; - prints them instead of the table"
)
def bench(url: str, **values: Any) -> None:
    """Send requests to URL at a given rate, whether or not it keeps up.

    URL is a model's, http://HOST:PORT/v2/models/NAME/infer, or a server's with --model NAME.
    Latency counts from the instant at which a request was due (an open loop): what it waited
    because the server, or this command, was behind is in it.

    \b
    jitney bench http://127.0.0.1:8000 --model digits --rate 500 1000 2000
    jitney bench http://127.0.0.1:8000 --model digits --search --slo-ms 20 --overload 1.5 2 3

    Exit code 1 if --require is not met, or if a run is void because this command was behind.
    """
    # numpy, and an HTTP client: only for who benches.
    from ..bench import plot as plots
    from ..bench.connection import CannotConnect
    from ..bench.limits import limits
    from ..bench.team import TeamFailed

    try:
        plan = _plan(values)
        wanted = limits(values["require"]) if values["require"] else []
        if values["plot"]:
            plots.check(values["plot"])
    except (ValueError, plots.CannotPlot) as error:
        raise Mistake(f"{error}.") from error
    try:
        with Progress(sys.stderr) as progress, _session(url, plan, values, progress) as session:
            found, beyond = _measure(session, values, progress)
    except CannotConnect as error:
        raise Mistake(f"cannot connect to {url}: {error}.") from error
    except TeamFailed as error:
        raise _BenchFailed(f"{error}.") from error
    except ValueError as error:
        raise Mistake(f"{error}.") from error
    _write(url, session, found, beyond, values)
    sys.exit(_verdict(session, found, wanted))


def _plan(values: dict[str, Any]) -> "Plan":
    """What all runs have in common. Raises ValueError."""
    from ..bench.plan import Plan

    rates, multiples = values["rates"], values["multiples"]
    if not rates and not values["search"]:
        raise ValueError("say --rate R, or --search for the highest that is good")
    if multiples and not values["search"]:
        raise ValueError("--overload goes on from what --search finds; give both")
    if len(rates) > 1 and values["search"]:
        raise ValueError("--search begins at one --rate, not at several")
    if any(not 0 < multiple <= 100 for multiple in multiples):
        raise ValueError("--overload takes multiples above 0, up to 100")
    for name in ("slo_ms", "timeout_s", "max_seconds"):
        if not 0 < values[name] < 1e6:
            flag = name.removesuffix("_s").replace("_", "-")
            raise ValueError(f"--{flag} must be above 0 and below a million, got {values[name]:g}")
    common: dict[str, Any] = {
        name: values[name] for name in ("seconds", "warm_up_s", "arrivals", "burst", "seed")
    }
    plans = [Plan(rate=rate, **common) for rate in rates or (SEARCH_BEGINS,)]
    return plans[0]


@contextmanager
def _session(
    url: str, plan: "Plan", values: dict[str, Any], progress: Progress
) -> "Iterator[Session]":
    """Everything that is needed, ready to run: bodies made, and one of them answered."""
    from ..bench.connection import resolve
    from ..bench.figures import Figures, Judge
    from ..bench.generator import Tick
    from ..bench.report import HEADER, generator_line, line, progress_line, statuses_line
    from ..bench.session import Session
    from ..bench.team import Way, team
    from .bench_requests import first_answer, requests_for

    where, requests = requests_for(
        url,
        model=values["model"],
        body_file=values["body_file"],
        binary=values["binary"],
        rows=values["rows"],
        headers=values["headers"],
    )
    address = resolve(where.host, where.port)
    first_answer(address, requests[0], values["timeout_s"])
    lateness_ms = values["max_lateness_ms"]
    judge = Judge(values["slo_ms"] / 1e3, None if lateness_ms is None else lateness_ms / 1e3)
    quiet = values["json_file"] == "-"
    told: list[Figures] = []

    def tick(plan: "Plan") -> Tick:
        run = f"run {len(told) + 1}: " if values["search"] else ""

        def show(elapsed_s: float, answered: int) -> None:
            progress(run + progress_line(plan, elapsed_s, answered))

        return show

    def done(run: Figures) -> None:
        progress.clear()
        if not told and not quiet:
            click.echo(HEADER)
        told.append(run)
        if quiet:
            return
        click.echo(line(run))
        if odd := statuses_line(run):
            click.echo(f"  {odd}")
        if run.outcome.exhausted or not values["search"]:
            click.echo(f"  {generator_line(run)}")
        if run.void:
            click.echo(f"  VOID: {run.void}.")

    sends = team(
        Way(address, requests, values["connections"], values["timeout_s"]), values["processes"]
    )
    try:
        max_seconds = values["max_seconds"]
        yield Session(sends, plan, judge, tick=tick, done=done, max_seconds=max_seconds)
    finally:
        sends.close()


def _measure(
    session: "Session", values: dict[str, Any], progress: Progress
) -> "tuple[Found | None, list[Beyond]]":
    """All runs that were asked for."""
    rates: Sequence[float] = values["rates"]
    if not values["search"]:
        for rate in rates:
            session.measure(rate)
        return None, []
    from ..bench.report import beyond_line, found_line

    start = rates[0] if rates else SEARCH_BEGINS
    found = session.search(start, precision=values["precision"], repeats=values["repeats"])
    quiet = values["json_file"] == "-"
    progress.clear()
    if not quiet:
        click.echo(found_line(found, values["slo_ms"] / 1e3))
    beyond = session.beyond(found.good, values["multiples"]) if found.good else []
    progress.clear()
    if beyond and not quiet:
        click.echo(beyond_line(beyond))
    return found, beyond


def _write(
    url: str,
    session: "Session",
    found: "Found | None",
    beyond: "list[Beyond]",
    values: dict[str, Any],
) -> None:
    import json

    from ..bench import plot as plots
    from ..bench.report import document

    slo_s = values["slo_ms"] / 1e3
    try:
        if name := values["json_file"]:
            whole = document(url, sys.argv[1:], slo_s, session.runs, found, beyond)
            text = json.dumps(whole, indent=1)
            if name == "-":
                click.echo(text)
            else:
                Path(name).write_text(text + "\n", encoding="utf-8")
        if plot := values["plot"]:
            plots.write(plot, session.runs, f"{url}, {values['arrivals']}")
    except OSError as error:
        raise Mistake(f"{error.filename} cannot be written: {error.strerror}.") from error


def _verdict(session: "Session", found: "Found | None", wanted: "list[Limit]") -> int:
    """Say what was missed; the exit code."""
    from ..bench.limits import missed

    judged: Sequence[Figures] = session.runs
    problems: list[str] = []
    if found is not None:
        # The runs of a search are to fail in part; those of the overload are to be seen.
        best = session.of(found.good) if found.good else None
        judged = [best] if best else []
        if not judged:
            problems.append("the search found no rate that is good")
        elif found.stopped:
            problems.append(f"the search ended early: {found.stopped}")
    problems += [f"{run.plan.rate:,.6g} a second: void, {run.void}" for run in judged if run.void]
    problems += missed(wanted, judged)
    for problem in problems:
        click.echo(f"jitney: {problem}.", err=True)
    return 1 if problems else 0

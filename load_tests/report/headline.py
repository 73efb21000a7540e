"""The table of the README: what was measured, in a dozen lines. Made of what is kept. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence

from report import figures
from report.data import Record
from report.figures import Spread, Values

Figure = Callable[..., Spread | None]
"""Of a record, a server, and what else it needs."""

BEGIN, END = "<!-- headline: made by make report -->", "<!-- /headline -->"
_BETWEEN = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)

NOTHING = (
    "No figures are kept yet: `make bench-peers bench-text`, then `make report REPORT=--keep`."
)


class NoMarkers(Exception):
    """The README has no place for the table."""


def put(readme: str, table: str) -> str:
    """The README with the table in its place. Raises NoMarkers."""
    if not _BETWEEN.search(readme):
        raise NoMarkers(f"README.md has no lines {BEGIN} and {END} for the table to stand between")
    return _BETWEEN.sub(lambda _: f"{BEGIN}\n{table}\n{END}", readme)


def headline(records: Mapping[str, Record | None]) -> str:
    """Markdown. records: by kind."""
    peers, text = records.get("peers"), records.get("text")
    rows = [*(_peers(peers.values) if peers else ()), *(_text(text.values) if text else ())]
    if not rows:
        return NOTHING
    lines = [
        "| on one core | Jitney | best of the others | times |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    first = peers or text
    assert first is not None
    where = first.values["machine"]
    rounds = len({run["round"] for run in first.values["runs"]})
    lines += [
        "",
        f"{where['cpu']}, {where['at'][:10]}, medians of {rounds} round{'s' * (rounds > 1)}.",
    ]
    return "\n".join(lines)


def _peers(record: Values) -> list[tuple[str, ...]]:
    rows = []

    def row(what: str, form: str, figure: Figure, *rest: object, less: bool = False) -> None:
        rows.append(_row(record, what, form, figure, *rest, less=less))

    for form, name in (("json", "JSON"), ("binary", "binary tensors")):
        for callers in figures.callers(record, form):
            if callers > 1:
                what = f"requests a second, {callers} callers, {name}"
                rows.append(_rates(record, what, form, callers))
    row("highest rate with 99% within 100 ms", "{:,.0f}", figures.highest)
    for times in (1.5, 2.0, 3.0):
        row(f"in time at {times:g}x that rate, of it", "{:.2f}", figures.goodput_share, times)
    row(
        "CPU a request over the model's, µs",
        "{:,.0f}",
        figures.over_model_us,
        "json",
        64,
        less=True,
    )
    row("a lone request's p50 over the model's, ms", "{:.2f}", figures.lone_added_ms, less=True)
    row("start to first answer, s", "{:.2f}", figures.start, "started_s", less=True)
    row("idle, of a core", "{:.2%}", figures.start, "idle", less=True)
    row("resident, MB", "{:,.0f}", figures.resident_mb, less=True)
    return [each for each in rows if each]


def _text(record: Values) -> list[tuple[str, ...]]:
    rows = []
    for callers in figures.callers(record, "json"):
        what = f"sentences a second, {callers} caller{'s' * (callers > 1)}"
        rows.append(_rates(record, what, "json", callers, ("one by one", "alone")))
    return [each for each in rows if each]


def _rates(
    record: Values, what: str, form: str, callers: int, aside: Sequence[str] = ()
) -> tuple[str, ...]:
    """Of callers who wait, with how many times the best other's. aside: who is no other."""
    row = _row(record, what, "{:,.0f}", figures.closed, form, callers, "a_second", aside=aside)
    best = _best(record, figures.closed, form, callers, "a_second", aside=aside)
    times = figures.times(record, "jitney", best, form, callers) if best else None
    return (*row[:3], f"{times.middle:.2f}x") if row and times else row


def _row(
    record: Values,
    what: str,
    form: str,
    figure: Figure,
    *rest: object,
    less: bool = False,
    aside: Sequence[str] = (),
) -> tuple[str, ...]:
    """A line; empty if we have no such figure, or nobody else has. less: the least is best."""
    ours = figure(record, "jitney", *rest)
    best = _best(record, figure, *rest, less=less, aside=aside)
    theirs = figure(record, best, *rest) if best else None
    if not ours or not theirs or not best:
        return ()
    whose = f"{form.format(theirs.middle)} ({figures.label(record, best)})"
    return (what, form.format(ours.middle), whose, "")


def _best(
    record: Values,
    figure: Figure,
    *rest: object,
    less: bool = False,
    aside: Sequence[str] = (),
) -> str | None:
    """Who of the others is best."""
    found = {
        way: each.middle
        for way in figures.ways(record)
        if way not in ("jitney", *aside) and (each := figure(record, way, *rest))
    }
    pick = min if less else max
    return pick(found, key=lambda way: found[way]) if found else None

"""What a server has done between two of its reports, in a table or a sentence. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from ..observe.histogram import quantile
from ..observe.logs import escaped
from ..observe.metrics import outcomes
from ..observe.report import Values
from ..observe.totals import Totals

COLUMNS: Final = (
    ("req/s", 9), ("p50", 9), ("p99", 9), ("batch", 7), ("queue", 7), ("refused/s", 10),
    ("failed/s", 9),
)  # fmt: skip


class Figures(NamedTuple):
    """One model, lately."""

    name: str
    ready: bool
    requests: float = 0.0
    """A second, as all that follow."""
    refused: float = 0.0
    failed: float = 0.0
    p50_s: float | None = None
    p99_s: float | None = None
    batch_rows: float | None = None
    """The mean."""
    queue_rows: int = 0
    """Now."""


def figures(now: Values, before: Values, elapsed_s: float) -> list[Figures]:
    """What became of each model between two reports."""
    was = {_key(model): model["totals"] for model in before["models"]}
    names = [model["name"] for model in now["models"]]
    return [
        _of_one(model, was.get(_key(model)), elapsed_s, alone=names.count(model["name"]) == 1)
        for model in now["models"]
    ]


def _key(model: Values) -> tuple[str, str]:
    return model["name"], model["version"]


def _of_one(model: Values, was: Values | None, elapsed_s: float, *, alone: bool) -> Figures:
    name = escaped(model["name"] if alone else f"{model['name']} {model['version']}")
    ready = bool(model["gauges"]["ready"])
    if model["totals"] is None:
        return Figures(name, ready)
    totals, before = Totals.of_values(model["totals"]), Totals()
    if was is not None and was["runs"] <= totals.runs:  # not loaded anew meanwhile
        before = Totals.of_values(was)
    then = outcomes(before)
    became = {outcome: count - then[outcome] for outcome, count in outcomes(totals).items()}
    if min(became.values()) < 0:
        became, before = outcomes(totals), Totals()
    took = [a - b for a, b in zip(totals.latency.counts, before.latency.counts, strict=True)]
    batches = totals.batches - before.batches
    return Figures(
        name,
        ready,
        requests=sum(became.values()) / elapsed_s,
        refused=(became["refused"] + became["late"]) / elapsed_s,
        failed=became["failed"] / elapsed_s,
        p50_s=quantile(0.5, totals.latency.bounds, took),
        p99_s=quantile(0.99, totals.latency.bounds, took),
        batch_rows=(totals.rows - before.rows) / batches if batches else None,
        queue_rows=int(model["gauges"].get("queue_rows", 0)),
    )


def table(models: Sequence[Figures], head: str, height: int) -> list[str]:
    """What is drawn, in at most so many lines; the busiest models if there is no room for all."""
    room = max(1, height - 3)
    left_out = len(models) - room
    if left_out > 0:
        busiest = sorted(models, key=lambda model: -model.requests)[: room - 1]
        models = [model for model in models if model in busiest]
    width = max([len("model"), *(len(model.name) for model in models)])
    lines = [head, f"{'model':<{width}}" + "".join(f"{name:>{size}}" for name, size in COLUMNS)]
    for model in models:
        if not model.ready:
            lines.append(f"{model.name:<{width}}  does not answer")
            continue
        cells = zip(_cells(model), COLUMNS, strict=True)
        lines.append(f"{model.name:<{width}}" + "".join(f"{cell:>{n}}" for cell, (_, n) in cells))
    if left_out > 0:
        lines.append(f"and {left_out + 1} more")
    return lines


def _cells(model: Figures) -> list[str]:
    rows = model.batch_rows
    return [
        _rate(model.requests),
        _time(model.p50_s),
        _time(model.p99_s),
        "-" if rows is None else f"{rows:.1f}",
        f"{model.queue_rows:,}",
        _rate(model.refused),
        _rate(model.failed),
    ]


def sentence(models: Sequence[Figures], *, ready: bool) -> str:
    """The same in one line, of the models that were asked something."""
    parts = ["ready" if ready else "not ready"]
    for model in models:
        if not model.ready:
            parts.append(f"{model.name} does not answer")
        elif model.requests or model.queue_rows:
            requests, p50, p99, rows, queue, refused, failed = _cells(model)
            parts.append(
                f"{model.name} {requests} requests/s, p50 {p50}, p99 {p99}, {rows} rows a batch, "
                f"{queue} waiting, {refused} refused/s, {failed} failed/s"
            )
    return "; ".join(parts if len(parts) > 1 else [*parts, "no requests"])


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or not rate else f"{rate:.1f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.2f} s"

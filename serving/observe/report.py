"""What one server process says of itself at a moment, as plain values.

Values, and not objects, so that a process can send them to another: the reports of
several processes that serve the same models are `together` one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from ..version import VERSION
from .totals import merged

if TYPE_CHECKING:
    from ..deployment import Deployment

Values = dict[str, Any]

Reports = Callable[[], Awaitable[Values]]
"""The report of all processes that serve together: see `serving.workers`."""

# What is there now, and how the same of several processes is made into one.
GAUGES: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "ready": min,
    "queue_rows": sum,
    "riding": sum,
    "riding_rows": sum,
    "predicted_wait_s": max,
    "slo_s": min,
    "max_rows": max,
    "fit_error": max,
    "speed": fmean,
    "gap_s": fmean,
    "batch_cost": fmean,
    "row_cost": fmean,
    "length_cost": fmean,
    "length_squared_cost": fmean,
}


def report(
    deployments: Iterable[Deployment],
    *,
    ready: bool,
    missing: Iterable[tuple[str, str]] = (),
) -> Values:
    """What there is to say.

    ready: whether the process is. missing: names and versions of models that do not answer.
    """
    models: list[Values] = [
        {
            "name": deployment.name,
            "version": deployment.version,
            "totals": deployment.statistics.totals.as_values(),
            "gauges": gauges(deployment),
        }
        for deployment in deployments
    ]
    models += [
        {"name": name, "version": version, "totals": None, "gauges": {"ready": 0.0}}
        for name, version in missing
    ]
    return {"version": VERSION, "ready": float(ready), "models": models}


def gauges(deployment: Deployment) -> dict[str, float]:
    """What is so now with one model."""
    batcher, cost, statistics = deployment.batcher, deployment.cost, deployment.statistics
    c0, c1, c2, c3 = cost.coefficients
    return {
        "ready": float(batcher.alive),
        "queue_rows": deployment.waiting_rows,
        "riding": statistics.riding,
        "riding_rows": statistics.riding_rows,
        "predicted_wait_s": deployment.predicted_wait_s,
        "slo_s": deployment.patience_s(),
        "max_rows": deployment.max_rows,
        "fit_error": cost.error,
        "speed": cost.speed,
        "gap_s": cost.gap_s,
        "batch_cost": c0,
        "row_cost": c1,
        "length_cost": c2,
        "length_squared_cost": c3,
    }


def together(reports: Sequence[Values]) -> Values:
    """What several processes say, as if they were one."""
    models: dict[tuple[str, str], list[Values]] = {}
    for one in reports:
        for model in one["models"]:
            models.setdefault((model["name"], model["version"]), []).append(model)
    return {
        "version": reports[0]["version"],
        "ready": min(one["ready"] for one in reports),
        "models": [_one_model(same) for same in models.values()],
    }


def _one_model(models: Sequence[Values]) -> Values:
    totals = None
    for model in models:
        if model["totals"] is not None:
            totals = merged(totals, model["totals"]) if totals else model["totals"]
    known = [model["gauges"] for model in models]
    return {
        "name": models[0]["name"],
        "version": models[0]["version"],
        "totals": totals,
        "gauges": {
            name: combine([one[name] for one in known if name in one])
            for name, combine in GAUGES.items()
            if any(name in one for one in known)
        },
    }

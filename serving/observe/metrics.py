"""A report as Prometheus reads it.

The client library renders it and checks its names; it counts nothing. Its own counters
take a lock for each value, and its way of adding processes up allows no collector of
one's own: our counts are plain numbers, made into metrics only when they are asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from .histogram import ROWS, SECONDS, Histogram
from .reasons import FAULTS, REASONS
from .report import Values
from .totals import Totals

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MODEL: Final = ("model", "version")


class _Labelled(NamedTuple):
    """A value of one model, with the labels that it has beside the model's."""

    labels: tuple[str, ...]
    value: float


class _Counter(NamedTuple):
    name: str
    says: str
    values: Callable[[Totals], Iterable[_Labelled]]
    labels: tuple[str, ...] = ()


def _plain(attribute: str) -> Callable[[Totals], Iterable[_Labelled]]:
    return lambda totals: [_Labelled((), getattr(totals, attribute))]


def outcomes(totals: Totals) -> dict[str, int]:
    """Every request that came for a model, by what became of it."""
    refused = totals.refused
    late = refused.get("deadline_exceeded", 0)
    faults = sum(refused.get(reason, 0) for reason in FAULTS)
    return {
        "success": totals.success,
        "failed": totals.run_failed + faults,
        "refused": sum(refused.values()) - late - faults,
        "late": late,
        "left": totals.left,
    }


def refusals(totals: Totals) -> dict[str, int]:
    """Requests that were refused or ran out of time, by the reason; those too that never were."""
    reasons = {*REASONS.values(), *totals.refused} - FAULTS
    return {reason: totals.refused.get(reason, 0) for reason in sorted(reasons)}


def _each(by_label: Callable[[Totals], dict[str, int]]) -> Callable[[Totals], Iterable[_Labelled]]:
    return lambda totals: [_Labelled((label,), n) for label, n in by_label(totals).items()]


COUNTERS: Final = (
    _Counter(
        "jitney_requests_total",
        "Requests by what became of them: success, failed (an error of ours), refused, "
        "late (its time ran out), left (its caller had gone).",
        _each(outcomes),
        ("outcome",),
    ),
    _Counter(
        "jitney_refusals_total",
        "Requests that got no answer because of what they asked for, or when, by the reason.",
        _each(refusals),
        ("reason",),
    ),
    _Counter("jitney_rows_total", "Rows that ran in batches.", _plain("rows")),
    _Counter("jitney_batches_total", "Batches that left.", _plain("batches")),
    _Counter("jitney_runs_total", "Runs of the model; more than batches if some failed.",
             _plain("runs")),
    _Counter("jitney_bisects_total", "Batches that failed and were run again apart.",
             _plain("bisects")),
    _Counter(
        "jitney_work_total",
        "Rows times length of models whose rows are padded: real, and padding.",
        lambda totals: [
            _Labelled(("real",), totals.work),
            _Labelled(("padding",), totals.padded_work - totals.work),
        ],
        ("kind",),
    ),
    _Counter("jitney_predicted_run_seconds_total", "What runs were predicted to take.",
             _plain("predicted_s")),
    _Counter("jitney_misjudged_run_seconds_total",
             "By how much runs took more or less than predicted.", _plain("misjudged_s")),
)  # fmt: skip

HISTOGRAMS: Final = (
    ("jitney_request_duration_seconds",
     "From a request's arrival until it was answered, of all that rode in a batch.", "latency"),
    ("jitney_queue_duration_seconds",
     "From a request's arrival until its batch was cut.", "queue"),
    ("jitney_run_duration_seconds", "What batches ran for.", "run"),
)  # fmt: skip

GAUGES: Final = (
    ("jitney_model_ready", "Whether the model answers.", "ready"),
    ("jitney_queue_rows",
     "Rows that wait for the model, and those before or in its tokenizer or pipeline.py.",
     "queue_rows"),
    ("jitney_riding_requests", "Requests in batches under way.", "riding"),
    ("jitney_riding_rows", "Rows in batches under way.", "riding_rows"),
    ("jitney_predicted_wait_seconds",
     "When a request of one row and default priority that came now would be answered, predicted.",
     "predicted_wait_s"),
    ("jitney_slo_seconds",
     "Seconds within which a request that names no time of its own is answered, or refused.",
     "slo_s"),
    ("jitney_max_batch_rows", "Rows of the largest batch.", "max_rows"),
    ("jitney_cost_error_ratio",
     "The largest relative error of the cost model when it was fitted.", "fit_error"),
    ("jitney_cost_speed_ratio",
     "What runs take now over what they took when they were measured.", "speed"),
    ("jitney_cost_gap_seconds", "What a busy slot loses between two batches.", "gap_s"),
    ("jitney_cost_batch_seconds", "The cost model: seconds that any run takes.", "batch_cost"),
    ("jitney_cost_row_seconds", "The cost model: seconds for each row.", "row_cost"),
    ("jitney_cost_length_seconds",
     "The cost model: seconds for each row and unit of its length.", "length_cost"),
    ("jitney_cost_length_squared_seconds",
     "The cost model: seconds for each row and unit of its length squared.",
     "length_squared_cost"),
)  # fmt: skip


def rendered(values: Values, processes: Collector | None = None) -> bytes:
    """A report in Prometheus' text format, with CPU seconds and memory.

    processes: of which, if not of this process alone.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Report(values))
    registry.register(processes or ProcessCollector(registry=None))
    return generate_latest(registry)


class _Report(Collector):
    """Hands a report out as metrics."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(
            "jitney_build", "What this server is.", {"version": self._values["version"]}
        )
        yield GaugeMetricFamily(
            "jitney_ready", "Whether every model answers.", self._values["ready"]
        )
        models = self._values["models"]
        for name, says, key in GAUGES:
            gauge = GaugeMetricFamily(name, says, labels=MODEL)
            for model in models:
                if key in model["gauges"]:
                    gauge.add_metric(_labels(model), model["gauges"][key])
            yield gauge
        counted = [
            (_labels(model), Totals.of_values(model["totals"]))
            for model in models
            if model["totals"] is not None
        ]
        for counter in COUNTERS:
            family = CounterMetricFamily(
                counter.name, counter.says, labels=(*MODEL, *counter.labels)
            )
            for labels, totals in counted:
                for extra, value in counter.values(totals):
                    family.add_metric([*labels, *extra], value)
            yield family
        for name, says, attribute in HISTOGRAMS:
            durations = HistogramMetricFamily(name, says, labels=MODEL)
            for labels, totals in counted:
                _add(durations, labels, getattr(totals, attribute), SECONDS)
            yield durations
        rows = HistogramMetricFamily("jitney_batch_rows", "Rows of batches.", labels=MODEL)
        for labels, totals in counted:
            _add(rows, labels, batch_rows(totals), ROWS)
        yield rows


def batch_rows(totals: Totals) -> Histogram:
    """How large batches were."""
    histogram = Histogram(ROWS)
    for rows, size in totals.sizes.items():
        histogram.add(rows, int(size[0]))
    return histogram


def _labels(model: Values) -> list[str]:
    return [model["name"], model["version"]]


def _add(
    family: HistogramMetricFamily,
    labels: Sequence[str],
    histogram: Histogram,
    bounds: Sequence[float],
) -> None:
    names = [*map(floatToGoString, bounds), "+Inf"]
    up_to: list[Any] = list(zip(names, accumulate(histogram.counts), strict=True))
    family.add_metric(labels, up_to, histogram.sum)

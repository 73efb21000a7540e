"""The processes of one server as Prometheus reads them."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..observe.report import Values

Family = type[CounterMetricFamily] | type[GaugeMetricFamily]

# The names that every process has, of all of ours together; and of each worker.
MEASURES: Final[tuple[tuple[Family, str, str, str], ...]] = (
    (CounterMetricFamily, "cpu_seconds_total", "User and system CPU time in seconds", "cpu_s"),
    (GaugeMetricFamily, "resident_memory_bytes", "Resident memory in bytes", "resident_bytes"),
    (GaugeMetricFamily, "start_time_seconds", "When it was started, in seconds since 1970",
     "started_s"),
)  # fmt: skip


class Processes(Collector):
    """Hands out what a supervisor's report says of its processes."""

    def __init__(self, values: Values) -> None:
        """`values`: with `workers` and `server`, as `supervisor` makes them."""
        self._values = values

    def collect(self) -> Iterator[Metric]:
        server, workers = self._values["server"], self._values["workers"]
        yield GaugeMetricFamily("jitney_workers", "Worker processes that answer.", len(workers))
        yield CounterMetricFamily(
            "jitney_worker_restarts_total", "Workers that died and were replaced.",
            server["restarts"],
        )  # fmt: skip
        for family, name, says, key in MEASURES:
            total: Callable[..., Metric] = family
            yield total(f"process_{name}", f"{says}, of all processes of the server.", server[key])
            each = family(f"jitney_worker_{name}", f"{says}, of one worker.", labels=("worker",))
            for worker in workers:
                each.add_metric([str(worker["worker"])], worker[key])
            yield each

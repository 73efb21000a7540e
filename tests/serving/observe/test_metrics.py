"""A report as Prometheus reads it."""

import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batching import Batch, DeadlineExceeded, RunFailed, TooLate
from models import InvalidInput
from serving.observe.metrics import CONTENT_TYPE, rendered
from serving.observe.statistics import ModelStatistics
from tests.support.batches import ticket

GAUGES = {
    "ready": 1.0,
    "queue_rows": 3,
    "riding": 1,
    "riding_rows": 2,
    "predicted_wait_s": 0.25,
    "max_rows": 64,
    "fit_error": 0.03,
    "speed": 1.5,
    "gap_s": 0.001,
    "batch_cost": 0.01,
    "row_cost": 0.02,
    "length_cost": 0.03,
    "length_squared_cost": 0.04,
}


def statistics() -> ModelStatistics:
    """Three batches and some trouble."""
    told = ModelStatistics(predict=lambda rows, length: 0.1, clock=lambda: 100.5, wall=lambda: 1e9)
    for rows in (1, 2, 3):
        batch = Batch(rows, 100.1, length=10, work=8 * rows)
        tickets = [ticket(arrived=100.0) for _ in range(rows)]
        told.batch_cut(batch, tickets)
        batch.ended_at, batch.run_s = 100.4, 0.2
        told.batch_done(batch, tickets)
    told.failed(TooLate(needed_s=1, allowed_s=0))
    told.failed(InvalidInput("no"))
    told.failed(DeadlineExceeded(waited_s=1.0))
    told.failed(RunFailed("in a pipeline"))
    told.left(ticket(arrived=100.0))
    return told


def values(name: str = "m", version: str = "1") -> dict[str, Any]:
    return {
        "version": "1.2.3",
        "ready": 1.0,
        "models": [
            {
                "name": name,
                "version": version,
                "totals": statistics().totals.as_values(),
                "gauges": GAUGES,
            },
            {"name": "broken", "version": "7", "totals": None, "gauges": {"ready": 0.0}},
        ],
    }


class Scrape:
    """What a scrape brought, by name and labels."""

    def __init__(self, text: bytes) -> None:
        self.families = list(text_string_to_metric_families(text.decode()))
        self.samples = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        labels = {"model": "m", "version": "1", **labels}
        return self.samples[(name, *sorted(labels.items()))]


@pytest.fixture(scope="module")
def scrape() -> Scrape:
    return Scrape(rendered(values()))


def test_requests_are_counted_by_what_became_of_them(scrape: Scrape) -> None:
    counts = {
        outcome: scrape("jitney_requests_total", outcome=outcome)
        for outcome in ("success", "failed", "refused", "late", "left")
    }

    assert counts == {"success": 6, "failed": 1, "refused": 2, "late": 1, "left": 1}


def test_refusals_are_counted_by_their_reason_also_those_that_never_came(scrape: Scrape) -> None:
    assert scrape("jitney_refusals_total", reason="too_late") == 1
    assert scrape("jitney_refusals_total", reason="invalid") == 1
    assert scrape("jitney_refusals_total", reason="deadline_exceeded") == 1
    assert scrape("jitney_refusals_total", reason="queue_full") == 0
    assert not any("run_failed" in str(key) for key in scrape.samples)


def test_work_is_told_from_padding(scrape: Scrape) -> None:
    assert scrape("jitney_work_total", kind="real") == 8 * 6
    assert scrape("jitney_work_total", kind="padding") == 2 * 6


def test_batches_rows_and_what_was_predicted_of_them(scrape: Scrape) -> None:
    assert scrape("jitney_batches_total") == scrape("jitney_runs_total") == 3
    assert scrape("jitney_rows_total") == 6
    assert scrape("jitney_bisects_total") == 0
    assert scrape("jitney_predicted_run_seconds_total") == pytest.approx(0.3)
    assert scrape("jitney_misjudged_run_seconds_total") == pytest.approx(0.3)
    assert scrape("jitney_batch_rows_bucket", le="1.0") == 1
    assert scrape("jitney_batch_rows_bucket", le="2.0") == 2
    assert scrape("jitney_batch_rows_bucket", le="+Inf") == 3
    assert scrape("jitney_batch_rows_sum") == 6


@pytest.mark.parametrize(
    ("name", "count", "each_s"),
    [
        ("jitney_request_duration_seconds", 6, 0.5),
        ("jitney_queue_duration_seconds", 6, 0.1),
        ("jitney_run_duration_seconds", 3, 0.2),
    ],
)
def test_durations_are_histograms(scrape: Scrape, name: str, count: int, each_s: float) -> None:
    assert scrape(f"{name}_count") == scrape(f"{name}_bucket", le="+Inf") == count
    assert scrape(f"{name}_sum") == pytest.approx(count * each_s)
    assert scrape(f"{name}_bucket", le="30.0") == count
    assert scrape(f"{name}_bucket", le="0.07") == 0


def test_what_is_so_now(scrape: Scrape) -> None:
    assert scrape("jitney_queue_rows") == 3
    assert scrape("jitney_riding_requests") == 1
    assert scrape("jitney_riding_rows") == 2
    assert scrape("jitney_predicted_wait_seconds") == 0.25
    assert scrape("jitney_max_batch_rows") == 64
    assert scrape("jitney_cost_error_ratio") == 0.03
    assert scrape("jitney_cost_speed_ratio") == 1.5
    assert scrape("jitney_cost_gap_seconds") == 0.001
    assert scrape("jitney_cost_batch_seconds") == 0.01
    assert scrape("jitney_cost_row_seconds") == 0.02
    assert scrape("jitney_cost_length_seconds") == 0.03
    assert scrape("jitney_cost_length_squared_seconds") == 0.04


def test_who_is_ready(scrape: Scrape) -> None:
    assert scrape("jitney_model_ready") == 1
    assert scrape("jitney_model_ready", model="broken", version="7") == 0
    assert scrape.samples[("jitney_ready",)] == 1
    assert scrape.samples[("jitney_build_info", ("version", "1.2.3"))] == 1
    assert scrape.samples[("process_cpu_seconds_total",)] > 0


def test_every_metric_is_ours_or_the_process_and_says_what_it_is(scrape: Scrape) -> None:
    for family in scrape.families:
        assert family.name.startswith(("jitney_", "process_"))
        assert family.documentation
        assert family.type != "unknown"
    assert CONTENT_TYPE.startswith("text/plain")


def test_a_name_cannot_add_lines() -> None:
    name = 'm"} 1\njitney_ready 0\n# \\'

    scrape = Scrape(rendered(values(name)))

    assert scrape("jitney_queue_rows", model=name) == 3
    assert scrape.samples[("jitney_ready",)] == 1


def test_promtool_finds_no_fault() -> None:
    promtool = shutil.which("promtool")
    assert promtool, (
        "promtool is missing: install Debian's package prometheus, or Prometheus itself"
    )

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=rendered(values()), capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")

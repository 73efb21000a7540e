"""What Prometheus reads of the processes."""

from prometheus_client.parser import text_string_to_metric_families

from serving.observe.metrics import rendered
from serving.workers.metrics import Processes
from serving.workers.own import about_this_process, resident_bytes


def test_each_worker_and_all_together() -> None:
    about = {"cpu_s": 2.0, "resident_bytes": 100, "started_s": 1e9}
    values = {
        "version": "1",
        "ready": 1.0,
        "models": [],
        "workers": [{"worker": 0, **about}, {"worker": 1, **about, "cpu_s": 3.0}],
        "server": {"cpu_s": 6.0, "resident_bytes": 250, "started_s": 1e9, "restarts": 4},
    }
    families = text_string_to_metric_families(rendered(values, Processes(values)).decode())
    samples = {
        (sample.name, sample.labels.get("worker")): sample.value
        for family in families
        for sample in family.samples
    }
    assert samples["process_cpu_seconds_total", None] == 6
    assert samples["jitney_worker_cpu_seconds_total", "1"] == 3
    assert samples["jitney_worker_resident_memory_bytes", "0"] == 100
    assert samples["process_resident_memory_bytes", None] == 250
    assert samples["jitney_workers", None] == 2
    assert samples["jitney_worker_restarts_total", None] == 4


def test_a_process_knows_what_it_takes() -> None:
    about = about_this_process()
    assert about["cpu_s"] > 0
    assert about["resident_bytes"] == resident_bytes() or about["resident_bytes"] > 2**20
    assert about["started_s"] > 1.6e9

"""Rules, configuration and dashboard, with the real promtool and a real Prometheus that scrapes."""

import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from serving.observe.metrics import rendered
from tests.support import onnx_models, text_models
from tests.support.dashboard import queries
from tests.support.prometheus import Prometheus, prometheus, tool
from tests.support.promql import metrics, selectors
from tests.support.server import Server, serving

DEPLOY = Path(__file__).parents[2] / "deploy"
FOLDER = DEPLOY / "prometheus"
RULES = FOLDER / "jitney.rules.yml"

LONGEST_S = 120.0
"""For every query to have data. It takes some seconds on a machine with nothing else to do."""
WATCHED_S = 60.0
"""How long the server is scraped under load; what a rule or the dashboard reads must have data
in the end too."""
SCRAPE_S = 2
PAUSE_S, GENTLE_PAUSE_S = 0.01, 0.5
"""Between two requests of a caller: while all that can happen is made to happen, and then."""


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


ALL = [rule for group in loaded(RULES)["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL if "alert" in rule]
RECORDED = {rule["record"] for rule in ALL if "record" in rule}


def promtool(*arguments: str | Path) -> str:
    """What it says; fails if it finds a fault."""
    ended = subprocess.run(
        [tool("promtool"), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


# --- the files


def test_promtool_finds_no_fault_in_rules_and_configuration() -> None:
    assert f"{len(ALL)} rules found" in promtool("check", "rules", RULES)
    promtool("check", "config", FOLDER / "prometheus.yml")


def test_every_rule_speaks_when_it_should_and_only_then() -> None:
    promtool("test", "rules", FOLDER / "jitney.rules.test.yml")


def test_every_rule_has_such_a_test() -> None:
    """Each alert one where it fires, each recorded series one with its value."""
    tested = "\n".join(
        case["expr"]
        for test in loaded(FOLDER / "jitney.rules.test.yml")["tests"]
        for case in test["promql_expr_test"]
        if case["exp_samples"]
    )

    for alert in ALERTS:
        assert re.search(rf"\b{alert['alert']}\b", tested), (
            f"{alert['alert']} is never seen to fire"
        )
    for name in RECORDED:
        assert name in tested


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["for"]
    assert len(alert["annotations"]["summary"]) < 140
    assert len(alert["annotations"]["description"]) > 100


def test_rules_read_only_what_there_is() -> None:
    there = exposed() | RECORDED | {"up"}

    for rule in ALL:
        assert metrics(rule["expr"]) <= there, rule


def test_the_adapter_offers_what_is_recorded() -> None:
    """What scales by it is in test_rendered.py."""
    (adapted,) = loaded(FOLDER / "adapter.yml")["rules"]["custom"]

    assert metrics(adapted["seriesQuery"])
    assert metrics(adapted["seriesQuery"]) <= RECORDED


def exposed() -> set[str]:
    """The names of all series that a server with one model shows."""
    from serving.observe.report import GAUGES
    from serving.observe.totals import Totals

    model = {
        "name": "m",
        "version": "1",
        "totals": Totals().as_values(),
        "gauges": dict.fromkeys(GAUGES, 1.0),
    }
    text = rendered({"version": "0", "ready": 1.0, "models": [model]}).decode()
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}


# --- a real one, under load


def test_a_real_prometheus_has_data_for_every_rule_and_every_query(tmp_path: Path) -> None:
    with (
        serving(
            many_models(tmp_path / "models"), "--profile-budget", "0.5", "--max-body-mib", "0.1"
        ) as server,
        prometheus(scraping_often(server), tmp_path) as running,
        every_kind_of_load(server) as load,
    ):
        wanted = {f"rule {name}": name for name in RECORDED}
        wanted |= {f"{rule['alert']}: {one}": one for rule in ALERTS for one in read_by(rule)}
        wanted |= {f"dashboard, {query.where}": query.expression for query in queries()}
        wanted |= {f"load, {says}": f"{says} > 0" for says in HAPPENS}

        def missing(among: dict[str, str]) -> dict[str, str]:
            assert not load.failure, load.failure
            return {
                where: expression
                for where, expression in among.items()
                if not running.has_data(expression)
            }

        began = time.monotonic()
        left = wanted
        while left := missing(left):
            assert time.monotonic() < began + LONGEST_S, f"no data: {sorted(left)}"
            time.sleep(0.5)
        # The machine is others' too: the rest of the minute takes a small share of it.
        load.pause_s = GENTLE_PAUSE_S
        time.sleep(max(0.0, began + WATCHED_S - time.monotonic()))
        # What the load has made to happen is rare under such a load, and may be over.
        lasting = {where: one for where, one in wanted.items() if not where.startswith("load, ")}
        assert not missing(lasting)

        for rule in running.rules():
            assert rule["health"] == "ok", rule
        assert len(running.rules()) == len(ALL)
        load.stop()
        assert not load.failure, load.failure
        assert_agrees(running, server)


# What the load must have made of the model's requests, each more often than never.
HAPPENS = (
    *(
        f'sum(rate(jitney_requests_total{{outcome="{outcome}"}}[1m]))'
        for outcome in ("success", "failed", "refused", "late", "left")
    ),
    *(
        f'sum(rate(jitney_refusals_total{{reason="{reason}"}}[1m]))'
        for reason in (
            "too_late",
            "queue_full",
            "deadline_exceeded",
            "invalid",
            "too_many_rows",
            "body_too_large",
            "unsupported_encoding",
        )
    ),
    "sum(rate(jitney_bisects_total[1m]))",
    'sum(rate(jitney_work_total{kind="padding"}[1m]))',
    "max(max_over_time(jitney_queue_rows[1m]))",
    "max(max_over_time(jitney_riding_requests[1m]))",
)


def read_by(rule: dict[str, Any]) -> set[str]:
    """What an alert looks at: that must be there, though it is not alarming."""
    return selectors(rule["expr"])


def scraping_often(server: Server) -> dict[str, Any]:
    """The shipped configuration, but more often, and at this server's port."""
    config: dict[str, Any] = loaded(FOLDER / "prometheus.yml")
    config["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), f"{SCRAPE_S}s")
    config["rule_files"] = [str(FOLDER / name) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [server.url.removeprefix("http://")]}]
    return config


def assert_agrees(running: Prometheus, server: Server) -> None:
    """Once nothing comes any more, Prometheus says what the server says."""
    until = time.monotonic() + 30
    while True:
        told = {
            (labels["model"], labels["outcome"]): value
            for labels, value in running.samples("jitney_requests_total")
        }
        found = re.findall(
            r'^jitney_requests_total\{model="(\w+)",outcome="(\w+)",version="1"\} (\S+)$',
            server.get("/metrics").text,
            re.MULTILINE,
        )
        counted = {(model, outcome): float(value) for model, outcome, value in found}
        if told == counted:
            return
        assert time.monotonic() < until, (told, counted)
        time.sleep(0.5)


def many_models(folder: Path) -> Path:
    """One that takes long and has little room; one whose cost is in its values, which nobody can
    foresee; one that fails for some; one of padded text."""
    # One run at a time however many cores there are, so that others wait: each run takes all.
    alone = "batching = false\nthreads = 1024\n"
    onnx_models.heavy(folder / "busy" / "1" / "model.onnx", layers=240)
    (folder / "busy" / "model.toml").write_text(alone + "max_queue_rows = 4\n")
    onnx_models.rounds(folder / "rounds" / "1" / "model.onnx")
    (folder / "rounds" / "model.toml").write_text(alone)
    onnx_models.gatherer(folder / "table" / "1" / "model.onnx")
    text_models.encoder(folder / "text" / "1" / "model.onnx")
    text_models.tokenizer(folder / "text" / "tokenizer.json")
    return folder


class Load:
    """Callers in threads of their own, until they are stopped."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pause_s = PAUSE_S
        self.failure: BaseException | None = None
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, call: Callable[[httpx.Client], None], times: int = 1) -> None:
        """Make the call again and again, `times` of them at one time."""
        for _ in range(times):
            thread = threading.Thread(target=self._repeat, args=(call,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _repeat(self, call: Callable[[httpx.Client], None]) -> None:
        try:
            with httpx.Client(base_url=self.url, timeout=60) as client:
                while not self._ended.is_set():
                    call(client)
                    self._ended.wait(self.pause_s)
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def every_kind_of_load(server: Server) -> Iterator[Load]:
    """Requests that are answered, and those that are not, for every reason that can be made."""

    def infer(
        client: httpx.Client,
        model: str,
        tensor: dict[str, Any],
        among: tuple[int, ...] = (200,),
        headers: dict[str, str] | None = None,
        **parameters: int,
    ) -> None:
        body = {"inputs": [tensor], "parameters": parameters}
        reply = client.post(f"/v2/models/{model}/infer", json=body, headers=headers)
        assert reply.status_code in among, (reply.status_code, reply.text)

    def rows(count: int) -> dict[str, Any]:
        return {"name": "x", "datatype": "FP32", "shape": [count, 4], "data": [1.0] * 4 * count}

    def index(value: int) -> dict[str, Any]:
        return {"name": "index", "datatype": "INT64", "shape": [1, 1], "data": [value]}

    def times(count: int) -> dict[str, Any]:
        return {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [count]}

    def text(words: str) -> dict[str, Any]:
        return {"name": "text", "datatype": "BYTES", "shape": [1], "data": [words]}

    wide: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 1024], "data": [1] * 1024}
    crowd = {**wide, "shape": [4, 1024], "data": [1] * 4096}
    too_many = {**wide, "shape": [17, 1024], "data": [1] * 17 * 1024}

    def endless(client: httpx.Client) -> None:
        reply = client.post("/v2/models/text/infer", content=(b" " * 9_000 for _ in range(20)))
        assert reply.status_code == 413, reply.text

    def leave(_: httpx.Client) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        body = httpx.Request("POST", "http://x", json={"inputs": [wide]}).content
        with socket.create_connection((host, int(port))) as leaving:
            head = f"POST /v2/models/busy/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
            leaving.sendall(f"{head}\r\n\r\n".encode() + body)
            time.sleep(0.02)  # it is read, and waits

    load = Load(server.url)
    overload = (200, 429, 504)
    # These keep the model busy, and are more urgent than all others.
    load.start(lambda c: infer(c, "busy", wide, overload, priority=1), 6)
    # One run takes a hundred times what it seemed to, and who was taken behind it has no time left.
    load.start(lambda c: infer(c, "rounds", times(600), overload), 3)
    load.start(lambda c: infer(c, "rounds", times(1), overload, timeout=100_000), 3)
    load.start(lambda c: infer(c, "busy", wide, overload, timeout=1))
    load.start(lambda c: infer(c, "busy", crowd, overload, priority=2), 5)
    load.start(lambda c: infer(c, "busy", too_many, (413, *overload)))
    load.start(leave, 2)
    load.start(lambda c: infer(c, "table", index(3)), 3)
    load.start(lambda c: infer(c, "table", index(99), (400, 500)))
    load.start(lambda c: infer(c, "table", rows(1), (400,)))
    load.start(endless)
    coded = {"Content-Encoding": "br"}
    load.start(lambda c: infer(c, "table", index(3), (415,), coded))
    load.start(lambda c: infer(c, "text", text("the bus")), 2)
    load.start(lambda c: infer(c, "text", text("the very " * 30 + "late bus waits")), 2)
    try:
        yield load
    finally:
        load.stop()

"""What is between LoadGen and a server: every sample completed once, and no refusal that pays.

LoadGen itself is not here: it has an environment of its own, and takes minutes.
"""

import ast
import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.load_tests.scripts import scripts

FOLDER = Path(__file__).parents[2] / "load_tests" / "mlperf"
SOURCES = sorted(FOLDER.glob("*.py"))
WAIT_S = 20.0


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """The scripts as modules, which find each other as they do when they are run."""
    with scripts():
        monkeypatch.syspath_prepend(str(FOLDER))
        yield import_module


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_of_ours_is_imported(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not {name.partition(".")[0] for name in names} & {"serving", "models", "batching"}


# --- the adapter


class Scripted:
    """A server in a thread that answers each request by its body, as the script says."""

    def __init__(self, script: Callable[[bytes, int], bytes | None]) -> None:
        self._script = script
        self._asked: dict[bytes, int] = {}
        self.at_once = self.most_at_once = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    @contextmanager
    def running(self) -> Iterator[int]:
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(start, self._loop).result(WAIT_S)
        yield server.sockets[0].getsockname()[1]
        self._loop.call_soon_threadsafe(server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(server.wait_closed())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head.lower())
                assert length
                body = await reader.readexactly(int(length[1]))
                self._asked[body] = self._asked.get(body, 0) + 1
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await asyncio.sleep(0)
                self.at_once -= 1
                reply = self._script(body, self._asked[body])
                if reply is None:
                    break
                # In two pieces, as networks like to have it.
                writer.write(reply[:20])
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(reply[20:])
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def reply(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def request(body: str) -> bytes:
    return f"POST / HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def asked(
    module: ModuleType,
    script: Callable[[bytes, int], bytes | None],
    bodies: list[str],
    *,
    connections: int = 3,
    retry: bool = False,
) -> tuple[dict[int, bytes], Any, Scripted]:
    """What each sample, of ids from 100, was completed with; and the client's counts."""
    done: dict[int, bytes] = {}
    all_done = threading.Event()

    def completed(samples: list[tuple[int, bytes]]) -> None:
        for id_, body in samples:
            assert id_ not in done, "completed twice"
            done[id_] = body
        if len(done) == len(bodies):
            all_done.set()

    server = Scripted(script)
    with server.running() as port:
        client = module.Client(
            port,
            [request(body) for body in bodies],
            completed,
            connections=connections,
            late_s=0.01,
            retry=retry,
        )
        client.start()
        client.issue((100 + sample, sample) for sample in range(len(bodies)))
        assert all_done.wait(WAIT_S)
        client.close()
    return done, client.counts, server


def test_each_sample_gets_its_own_answer_over_so_many_connections(modules):
    bodies = [f"sample {number}" for number in range(50)]

    done, counts, server = asked(
        modules("adapter"), lambda body, _: reply(200, body.upper()), bodies
    )

    assert done == {100 + i: body.upper().encode() for i, body in enumerate(bodies)}
    assert (counts.answered, counts.refused, counts.failed) == (50, 0, 0)
    assert server.most_at_once <= 3


@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_refused_sample_is_completed_late_and_without_an_answer(modules, status):
    def script(body: bytes, _: int) -> bytes:
        return reply(status, b"{}") if body == b"1" else reply(200, body)

    done, counts, _ = asked(modules("adapter"), script, ["0", "1", "2"])

    assert done == {100: b"0", 101: b"", 102: b"2"}
    assert list(done)[-1] == 101
    assert (counts.answered, counts.refused, counts.failed) == (2, 1, 0)


def test_where_every_sample_needs_an_answer_it_is_asked_again(modules):
    def script(body: bytes, time: int) -> bytes:
        return reply(429, b"{}", "Retry-After: 0.02") if time < 3 else reply(200, body)

    done, counts, _ = asked(modules("adapter"), script, ["0", "1"], retry=True)

    assert done == {100: b"0", 101: b"1"}
    assert (counts.answered, counts.refused, counts.failed) == (2, 4, 0)


def test_what_fails_is_counted_and_holds_nobody_up(modules):
    def script(body: bytes, _: int) -> bytes | None:
        return {b"1": reply(400, b"no"), b"2": None}.get(body, reply(200, body))

    done, counts, _ = asked(modules("adapter"), script, [str(n) for n in range(6)], connections=1)

    assert {id_ for id_, body in done.items() if body} == {100, 103, 104, 105}
    assert (counts.answered, counts.refused, counts.failed) == (4, 0, 2)
    assert counts.why == "status 400: no"


def test_a_connection_that_was_closed_while_idle_is_opened_again(modules):
    def script(body: bytes, _: int) -> bytes:
        return reply(200, body, "Connection: close")

    class Closes(Scripted):
        async def _serve(self, reader, writer):
            await reader.readexactly(len(request("0")))
            writer.write(reply(200, b"yes"))
            writer.close()

    done: list[int] = []
    one = threading.Semaphore(0)

    def completed(samples: list[tuple[int, bytes]]) -> None:
        done.extend(id_ for id_, body in samples if body == b"yes")
        one.release()

    with Closes(script).running() as port:
        client = modules("adapter").Client(
            port, [request("0")], completed, connections=1, late_s=0.01, retry=False
        )
        client.start()
        for id_ in range(5):
            client.issue([(id_, 0)])
            assert one.acquire(timeout=WAIT_S)
        client.close()

    assert done == list(range(5))
    assert client.counts.failed == 0


# --- LoadGen's summary

SERVER = """================================================
MLPerf Results Summary
================================================
SUT name : PySUT
Scenario : Server
Mode     : PerformanceOnly
Completed samples per second    : 134.85
Result is : INVALID
  Performance constraints satisfied : NO
  Min duration satisfied : Yes
  Min queries satisfied : Yes
  Early stopping satisfied: NO
Recommendations:
 * Reduce target QPS to improve latency.

Additional Stats
================================================
Scheduled samples per second : 194.70
50.00 percentile latency (ns)   : 19243521
99.00 percentile latency (ns)   : 209074202
"""


def test_the_verdict_is_loadgens_own(modules):
    summary = modules("summary").parse(SERVER)

    assert (summary.scenario, summary.valid) == ("Server", False)
    assert summary.missed == ("performance constraints", "early stopping")
    assert (summary.a_second, summary.p50_s, summary.p99_s) == (194.7, 0.019243521, 0.209074202)

    text = SERVER.replace("Server", "Offline").replace("INVALID", "VALID").replace(": NO", ": Yes")
    offline = modules("summary").parse(text.replace("Completed samples", "Samples"))
    assert (offline.valid, offline.missed, offline.a_second) == (True, (), 134.85)


@pytest.mark.parametrize("text", ["", "nothing", SERVER.replace("Result is", "Result was")])
def test_what_is_no_summary_is_said_to_be_none(modules, tmp_path, text):
    summary = modules("summary")
    (tmp_path / summary.NAME).write_text(text)
    with pytest.raises(summary.NoSummary):
        summary.read(tmp_path)
    with pytest.raises(summary.NoSummary):
        summary.read(tmp_path / "elsewhere")


# --- the search


@pytest.mark.parametrize("limit", [61, 75, 92, 100, 110])
def test_the_search_ends_close_below_the_limit(modules, limit):
    tried = []

    def holds(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    best = modules("search").highest(holds, 92, tries=12)

    assert 0.98 * limit <= best <= limit
    assert len(tried) <= 12


def test_the_search_gives_up(modules):
    assert modules("search").highest(lambda _: False, 100, tries=4) is None
    assert modules("search").highest(lambda _: True, 100, tries=50) <= 1.25 * 1.05 * 100


# --- the samples


def test_requests_say_when_an_answer_is_of_no_use(modules):
    samples = modules("samples")
    made = samples.Samples(Path("perceptron.onnx"), [(b"{}1234", 2)], np.ones((1, 1)))

    plain, hurried = (made.requests(80, timeout_s)[0] for timeout_s in (None, 0.095))

    assert b"X-Request-Timeout-Ms" not in plain
    assert b"\r\nX-Request-Timeout-Ms: 95\r\n" in hurried
    assert b"\r\nInference-Header-Content-Length: 2\r\n" in plain
    assert plain.startswith(b"POST /v2/models/perceptron/infer HTTP/1.1\r\n")
    assert plain.endswith(b"Content-Length: 6\r\n\r\n{}1234")


def test_wrong_answers_are_found(modules):
    samples = modules("samples")
    wanted = np.array([[1.0, 0.0], [0.0, 2.0]])
    numbers = samples.Samples(Path("perceptron.onnx"), [(b"", 0)] * 2, wanted)
    vectors = samples.Samples(Path("minilm"), [(b"", None)] * 2, wanted)

    def binary(*values: float) -> bytes:
        return b"{}" + np.array(values, "<f4").tobytes()

    def as_json(*values: float) -> bytes:
        return json.dumps({"outputs": [{"data": values}]}).encode()

    assert numbers.furthest({0: binary(1, 0), 1: binary(0, 2)}) == 0
    assert numbers.furthest({0: binary(0, 2), 1: binary(1, 0)}) == 1
    assert vectors.furthest({0: as_json(1, 0), 1: as_json(0, 1)}) == 0
    assert vectors.furthest({0: as_json(0, 1), 1: as_json(0, 1)}) == 1
    with pytest.raises(samples.Failed, match="1 of 2 samples"):
        numbers.furthest({0: binary(1, 0)})
    with pytest.raises(samples.Failed, match="cannot be read"):
        vectors.furthest({0: b"", 1: b"{}"})


def test_loadgens_log_of_answers_is_by_sample(modules):
    log = [{"seq_id": 0, "qsl_idx": 7, "data": "6869"}, {"seq_id": 1, "qsl_idx": 2, "data": ""}]

    assert modules("samples").answers_of(log) == {7: b"hi", 2: b""}

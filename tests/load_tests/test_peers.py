"""The peers are compared fairly and from outside; what is measured is measured rightly.

Nothing is installed or measured here: that takes minutes and a machine of one's own.
"""

import ast
import asyncio
import json
import os
import runpy
import statistics
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.load_tests import records
from tests.load_tests.scripts import FOLDER
from tests.load_tests.scripts import scripts as as_scripts

PEERS = FOLDER / "peers"
SOURCES = sorted(
    path for folder in ("peers", "report", "soak") for path in (FOLDER / folder).rglob("*.py")
)
CORE = str(min(os.sched_getaffinity(0)))
NAMES = sorted(path.parent.name for path in PEERS.glob("*/requirements.txt"))


@pytest.fixture
def scripts() -> Iterator[None]:
    """Lets the scripts' modules be imported as the scripts do, and forgets them afterwards."""
    with as_scripts():
        yield


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_nothing_of_ours_is_imported(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert not names & {"serving", "models", "batching"}
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("name", NAMES)
def test_every_version_is_pinned_and_the_engine_is_the_same(name: str) -> None:
    lines = (PEERS / name / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    ours = [
        line
        for line in (FOLDER.parent / "constraints.txt").read_text().splitlines()
        if line.startswith("onnxruntime==")
    ]

    assert all("==" in line for line in wanted)
    assert ours[0] in wanted


def test_all_peers_that_are_compared_have_an_environment(scripts: None) -> None:
    from peers.servers import SERVERS  # type: ignore[import-not-found]

    compared = {server.name for server in SERVERS} - {"jitney"}
    made = (FOLDER.parent / "Makefile").read_text()

    assert compared | {"infinity"} == set(NAMES)
    for name in NAMES:
        assert name in made


def test_all_are_asked_for_the_same_numbers(scripts: None) -> None:
    from peers.servers import SERVERS

    for server in SERVERS:
        body = json.loads(server.body(["0.5", "-1.25"]))
        data = body["x"][0] if "x" in body else body["inputs"][0]["data"]
        assert data == [0.5, -1.25], server.name
        assert "{port}" in " ".join([*server.command, *server.settings.values()]), server.name


def test_the_batches_of_all_may_be_as_large(scripts: None) -> None:
    rows = runpy.run_path(str(PEERS / "shared" / "perceptron.py"))["ROWS"]
    mlserver = json.loads((PEERS / "mlserver" / "model-settings.json").read_text())

    assert rows == 64
    assert mlserver["max_batch_size"] == rows
    assert mlserver["max_batch_time"] <= 0.001
    assert f"max_batch_size: {rows}" in (PEERS / "pytriton" / "config.pbtxt").read_text()
    for name in ("mosec", "litserve", "bentoml", "ray"):
        assert "ROWS" in (PEERS / name / "serve.py").read_text()


@pytest.mark.parametrize("script", ["text.py", "peers/run.py", "soak/watch.py", "report/make.py"])
def test_the_commands_explain_themselves(script: str) -> None:
    command = [sys.executable, str(FOLDER / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert ("--runs" if "s/" in script or script == "text.py" else "--out") in done.stdout


def test_the_open_loop_asks_for_what_jitney_bench_has(scripts: None, tmp_path: Path) -> None:
    from peers.open_loop import command, kept  # type: ignore[import-not-found]

    program, name, url, *options = command("http://x/infer", tmp_path, 10, 2, tmp_path / "a.json")
    shown = subprocess.run([program, name, "--help"], capture_output=True, text=True, timeout=60)

    assert url == "http://x/infer"
    for option in options:
        assert not option.startswith("--") or f"{option} " in shown.stdout, option
    run = {"latency_ms": {"p50": {"value": 1.0}, "p99": {"value": None}}, "curve": [[0.5, 1.0]]}
    for figure in ("rate", "offered", "requests", "answered", "in_time", "goodput", "late"):
        run[figure] = 1.0
    for figure in ("refused", "unavailable", "expired", "failed", "lost", "void"):
        run[figure] = 0
    found = kept({"slo_ms": 100.0, "search": {"highest_good": 9.0}, "runs": [run]})
    assert found["highest_good"] == 9.0
    assert found["runs"][0]["latency_ms"] == {"p50": 1.0, "p99": None}
    assert "curve" not in found["runs"][0]


def test_a_server_is_told_that_answers_are_wanted_in_time_only_then(scripts: None) -> None:
    from peers.servers import SERVERS

    servers = {server.name: server for server in SERVERS}

    ours, _ = servers["jitney"].start(in_time=True)
    assert ours[-2:] == ["--slo-ms", "100"]
    mosec, _ = servers["mosec"].start(in_time=True)
    assert mosec[mosec.index("--capacity") + 1] == "{waiting}"
    for server in SERVERS:
        assert server.start(in_time=False) == ([*server.command], {**server.settings})


# --- binary tensors


def test_bodies_are_what_the_protocol_says_and_answers_are_read(scripts: None) -> None:
    from peers.questions import Questions, answer  # type: ignore[import-not-found]
    from peers.servers import SERVERS

    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    asked = Questions(rows, rows[:2] * 10)
    body = asked.body(SERVERS[0], "binary", 1)
    head = json.loads(body.content[: body.json_length])

    (tensor,) = head["inputs"]
    assert tensor["parameters"] == {"binary_data_size": 8}
    assert head["parameters"] == {"binary_data_output": True}
    assert np.frombuffer(body.content[body.json_length :], "<f4").tolist() == [2, 3]
    assert json.loads(asked.body(SERVERS[0], "json", 1).content)["inputs"][0]["data"] == [2, 3]
    # Bytes that would end the JSON if they were looked at.
    sent = np.array([34.0, 125.0], "<f4").tobytes()
    reply = {"outputs": [{"name": "y", "parameters": {"binary_data_size": len(sent)}}]}
    found = answer(SERVERS[0], "binary", json.dumps(reply).encode() + sent)
    assert found.tolist() == [34, 125]
    assert asked.are_answered_by([0, 10], 0)
    assert not asked.are_answered_by([0, 10], 1)
    assert not asked.are_answered_by([0], 0)


def test_binary_bodies_are_in_a_file_as_wrk_reads_them(scripts: None, tmp_path: Path) -> None:
    from peers.questions import Questions
    from peers.servers import SERVERS

    rows = np.array([[10.0, 0.5], [1.0, 2.0]], np.float32)  # 10 is a line end
    asked = Questions(rows, rows)
    content = asked.write(SERVERS[0], "binary", tmp_path / "bodies").read_bytes()

    for number in range(2):
        line, _, content = content.partition(b"\n")
        head, whole = map(int, line.split())
        assert (content[:whole], head) == asked.body(SERVERS[0], "binary", number)[:2]
        assert content[whole : whole + 1] == b"\n"
        content = content[whole + 1 :]
    assert not content


# --- what the text benchmark sends


def test_sentences_are_of_natural_length(scripts: None) -> None:
    from peers.sentences import lengths  # type: ignore[import-not-found]

    found = lengths(512)

    assert statistics.median(found) == 21
    assert 27.4 <= statistics.mean(found) <= 28.4
    assert min(found) >= 3
    assert max(found) <= 256
    assert found == lengths(512)
    assert found != sorted(found)


def test_a_word_is_a_token(scripts: None, tmp_path: Path) -> None:
    from peers.sentences import lengths, sentences

    # A vocabulary with the frequent words where BERT has them, and signs before them.
    ids = {f"[unused{number}]": number for number in range(1996)}
    for number in range(12000 - 1996):
        letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        ids[letters if number % 2 else f"##{letters}"] = 1996 + number
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(json.dumps({"model": {"vocab": ids}}))

    made = sentences(tokenizer, count=64)

    words = [sentence.split() for sentence in made]
    assert [len(each) + 2 for each in words] == lengths(64)
    assert all(word in ids for each in words for word in each)
    assert made == sentences(tokenizer, count=64)


# --- the closed loop


async def _serve(reply: bytes) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
                body = await reader.readexactly(length)
                writer.write(reply.replace(b"BODY", body))
        except asyncio.IncompleteReadError:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


OK = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 4\r\n\r\nBODY"


@pytest.mark.parametrize("callers", [1, 8])
async def test_every_request_is_asked_as_often_and_gets_its_own_answer(
    scripts: None, callers: int
) -> None:
    from peers.closed_loop import ClosedLoop, post  # type: ignore[import-not-found]

    async with await _serve(OK) as server:
        port = server.sockets[0].getsockname()[1]
        bodies = [f"{number:04}".encode() for number in range(10)]
        loop = ClosedLoop(port, [post(port, "/", body) for body in bodies], warm_up=10, counted=30)
        await loop.run(callers)
        server.close()

    assert 40 <= len(loop.answers) < 40 + callers
    assert all(body == bodies[index] for index, body in loop.answers)
    asked = [index for index, _ in loop.answers]
    assert all(asked.count(number) >= 4 for number in range(10) if callers == 1)
    assert len(loop.latencies_s()) == 30
    assert loop.a_second() > 0


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nBODY", "status 503: 0000"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "has no Content-Length"),
    ],
)
async def test_anything_but_an_answer_ends_the_run(
    scripts: None, reply: bytes, message: str
) -> None:
    from peers.closed_loop import ClosedLoop, post

    async with await _serve(reply) as server:
        port = server.sockets[0].getsockname()[1]
        loop = ClosedLoop(port, [post(port, "/", b"0000")], warm_up=1, counted=1)
        with pytest.raises(ExceptionGroup) as caught:
            await loop.run(2)
        server.close()

    assert message in str(caught.value.exceptions[0])


# --- starting and ending servers


def test_a_server_ends_with_all_that_it_started(scripts: None, tmp_path: Path) -> None:
    from peers.launch import running  # type: ignore[import-not-found]

    code = (
        "import pathlib, subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        " start_new_session=True);"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    with running(
        [sys.executable, "-c", code],
        core=CORE,
        log=tmp_path / "log",
        answers=lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()),
    ) as server:
        child = int((tmp_path / "pid").read_text())
        assert Path(f"/proc/{child}").exists()
        assert server.cpu_s() > 0
        assert server.resident_mb() > 0

    stat = Path(f"/proc/{child}/stat")
    # Whoever adopted it may not have collected it yet.
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_server_that_ends_at_once_is_named(scripts: None, tmp_path: Path) -> None:
    from peers.launch import running
    from server import NotServing  # type: ignore[import-not-found]

    command = [sys.executable, "-c", "raise SystemExit('no model')"]
    with (
        pytest.raises(NotServing, match="ended with 1:\nno model"),
        running(command, core=CORE, log=tmp_path / "log", answers=lambda: False),
    ):
        pass


# --- the record


def test_a_server_that_fails_is_left_out_with_its_reason(scripts: None) -> None:
    from peers.run import left_out_if_it_fails  # type: ignore[import-not-found]
    from peers.servers import SERVERS

    record: dict[str, dict[str, str]] = {"left_out": {}}
    errors = (OSError("it ended with 1:\nTraceback\nno model\n"), KeyError(), None)
    for server, error in zip(SERVERS[:3], errors, strict=True):
        with left_out_if_it_fails(record, server):
            if error:
                raise error

    assert record["left_out"] == {"jitney": "it ended with 1: no model", "mosec": "KeyError"}
    with pytest.raises(KeyboardInterrupt), left_out_if_it_fails(record, SERVERS[3]):
        raise KeyboardInterrupt


def test_one_that_is_not_installed_is_left_out_from_the_beginning(
    scripts: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from peers import run, servers

    monkeypatch.setattr(servers, "ENVIRONMENTS", tmp_path)
    here = servers.SERVERS[0]
    absent = servers._peer("nobody", "Nobody", "serve.py", packages=("nobody",), path="/")

    record = run.begin([here, absent], Namespace(seconds=3))

    assert record["left_out"] == {
        "nobody": "not installed; run: make .venv-peers/nobody/.installed"
    }
    assert record["labels"] == {"jitney": "Jitney", "nobody": "Nobody"}
    assert record["versions"]["jitney"]["jitney"]
    # onnxruntime and numpy are among what it needs, and pytest is not.
    assert 150 < record["installed_mb"]["jitney"] < 400
    assert set(record["versions"]) == set(record["installed_mb"]) == {"jitney"}


def test_its_size_is_that_of_what_it_needs() -> None:
    command = [sys.executable, str(PEERS / "installed.py"), "jitney", "onnxruntime"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    sizes = json.loads(done.stdout)
    assert sizes["onnxruntime"] > 50e6
    assert sizes["jitney"] > 500e3
    assert {"numpy", "uvicorn", "onnxruntime"} <= set(sizes)
    assert not {"pytest", "locust", "pip"} & set(sizes)


def test_the_tables_say_what_was_measured_and_who_was_left_out(scripts: None) -> None:
    from peers.tables import report  # type: ignore[import-not-found]

    printed = report(records.peers())

    assert "| Jitney | json | 64 | 5,455 (5,000 to 6,000) | 11.73 (10.67 to 12.80)" in printed
    assert "| Jitney | binary | 256 |" in printed
    assert "| mosec | 0.60 (0.60 to 0.60) | 0.02% (0.02% to 0.02%) | 154 (154" in printed
    assert "| Jitney | 5,400 (5,400 to 5,400) | 1.00 (1.00 to 1.00) |" in printed
    # The run at three times its rate was void.
    assert (
        "| mosec | 4,500 (4,500 to 4,500) | 0.00 (0.00 to 0.00) | 0.00 (0.00 to 0.00) |  |"
        in printed
    )
    assert "json, 64 callers: Jitney 1.20 (1.20 to 1.20) x mosec, the best peer" in printed
    assert "left out: Ray Serve (not installed; run: make .venv-peers/ray/.installed)" in printed


# --- the tables


def test_ratios_are_taken_within_a_round(scripts: None) -> None:
    from peers.report import middle, ratios  # type: ignore[import-not-found]

    runs = [
        {"round": number, "way": way, "callers": 64, "a_second": rate}
        for number, rates in enumerate([(300, 100), (90, 45), (80, 40)])
        for way, rate in zip(("jitney", "peer"), rates, strict=True)
    ]

    found = ratios(runs, "jitney", "peer", 64, 64)

    assert found == [3, 2, 2]
    assert middle(found, "{:.1f}") == "2.0 (2.0 to 3.0)"
    assert ratios(runs, "jitney", "absent", 64, 64) == []

"""The peers are compared fairly and from outside; what is measured is measured rightly.

Nothing is installed or measured here: that takes minutes and a machine of one's own.
"""

import ast
import asyncio
import json
import runpy
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "load_tests"
PEERS = FOLDER / "peers"
SOURCES = sorted([FOLDER / "text.py", *PEERS.rglob("*.py")])
NAMES = sorted(path.parent.name for path in PEERS.glob("*/requirements.txt"))


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets the scripts' modules be imported as the scripts do, and forgets them afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for name in set(sys.modules) - before:
        if _is_a_script(sys.modules[name]):
            del sys.modules[name]


def _is_a_script(module: ModuleType) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(str(place).startswith(str(FOLDER)) for place in places)


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


@pytest.mark.parametrize("script", ["text.py", "peers/run.py"])
def test_the_commands_explain_themselves(script: str) -> None:
    command = [sys.executable, str(FOLDER / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "--runs" in done.stdout


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
        core="0",
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
        running(command, core="0", log=tmp_path / "log", answers=lambda: False),
    ):
        pass


# --- the report


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

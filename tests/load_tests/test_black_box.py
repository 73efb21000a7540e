"""The load tests see the server from outside only, and they run."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "load_tests"
SOURCES = sorted(FOLDER.glob("*.py"))
OURS = {"serving", "models", "batching"}

needs_locust = pytest.mark.skipif(find_spec("locust") is None, reason="locust is not installed")


def imported(tree: ast.Module) -> set[str]:
    """The top-level packages that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_of_ours_is_imported(path: Path) -> None:
    tree = ast.parse(path.read_text())

    assert not imported(tree) & OURS
    assert ast.get_docstring(tree)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, FOLDER / "run.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@needs_locust
def test_two_seconds_of_load_pass(tmp_path: Path) -> None:
    done = run("--users", "4", "--seconds", "2", "--out", tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed: every answer was right." in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 0


# --- abuse


class ReadsEveryDigitAsThree(BaseHTTPRequestHandler):
    """A server whose replies are perfect in form."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        probabilities = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        outputs = [
            {"name": "probabilities", "datatype": "FP32", "shape": [1, 10], "data": probabilities},
            {"name": "digit", "datatype": "INT64", "shape": [1], "data": [3]},
        ]
        reply = {"model_name": "digits", "id": asked["id"], "outputs": outputs}
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def wrong_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), ReadsEveryDigitAsThree) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@needs_locust
def test_a_wrong_answer_is_a_failure_whatever_its_status(wrong_server: str, tmp_path: Path) -> None:
    # The first user of all is one who sends a digit as JSON.
    done = run("--host", wrong_server, "--users", "1", "--seconds", "1", "--out", tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "digits, JSON: digit is not what was asked for" in done.stdout


@needs_locust
def test_no_server_is_a_failure(tmp_path: Path) -> None:
    # Port 1 is kept for a service that nobody runs.
    done = run("--host", "http://127.0.0.1:1", "--users", "1", "--seconds", "1", "--out", tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr


@needs_locust
def test_the_server_ends_with_the_load_that_it_was_started_for(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "run.py"), "--seconds", "60", "--users", "1"]
    load = subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert load.stdout
        started = re.search(r"process (\d+)", load.stdout.readline())
        load.send_signal(signal.SIGTERM)
        load.communicate(timeout=60)
    finally:
        load.kill()
        load.wait()

    assert load.returncode == 128 + signal.SIGTERM
    assert started
    with pytest.raises(ProcessLookupError):
        os.kill(int(started[1]), 0)

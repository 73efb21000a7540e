"""`make load` with real locust: shapes, choices, limits and the page."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from tests.support.server import free_port

FOLDER = Path(__file__).parents[2] / "load_tests"

needs_locust = pytest.mark.skipif(find_spec("locust") is None, reason="locust is not installed")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, FOLDER / "run.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@needs_locust
def test_make_load_does_what_it_says(tmp_path: Path) -> None:
    root = FOLDER.parent
    dry = ["make", "--dry-run", "--no-print-directory", "load", f"LOAD=--users 3 --out {tmp_path}"]
    said = subprocess.run(
        dry, cwd=root, capture_output=True, text=True, env={**os.environ, "SHAPE": "spike"}
    )
    command = next(line for line in said.stdout.splitlines() if "load_tests/run.py" in line)

    arguments = command.split()[2:]
    assert arguments == ["--shape", "spike", "--users", "3", "--out", str(tmp_path)]
    # Each spike is a second, and locust looks once a second how many users there should be.
    done = run(*arguments, "--seconds", "10", "--models", "digits,iris")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "spike: 3 users of digits, iris for 10 s" in done.stdout
    assert "Passed: every answer was right." in done.stdout
    assert (tmp_path / "report.html").stat().st_size > 0
    # All three were there at some time, and one at others.
    log = (tmp_path / "locust.log").read_text()
    assert "Shape test updating to 3 users" in log
    assert "Shape test updating to 1 users" in log


@needs_locust
def test_missed_limits_are_exit_code_1_and_say_what_is_so(tmp_path: Path) -> None:
    done = run(
        *("--users", "2", "--seconds", "2", "--models", "digits", "--out", tmp_path),
        *("--p99-ms", "0.001", "--least-a-second", "1e9"),
    )

    assert done.returncode == 1
    assert "digits, JSON: p99" in done.stderr
    assert "answers a second, 1e+09 wanted" in done.stderr
    assert "iris" not in done.stderr


@needs_locust
@pytest.mark.skipif(
    not (FOLDER / "out" / "real_models" / "minilm").is_dir(), reason="`make models` was not run"
)
def test_the_real_models_answer_rightly_in_both_forms(tmp_path: Path) -> None:
    done = run("--users", "10", "--seconds", "4", "--models", "magika,minilm", "--out", tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    for kind in ("magika, JSON", "magika, binary", "minilm, JSON", "minilm, binary"):
        assert kind in done.stdout


@needs_locust
def test_the_page_is_there_until_somebody_ends_it(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, str(FOLDER / "run.py"), "--page", "--page-port", str(port)]
    process = subprocess.Popen(
        [*command, "--models", "digits", "--out", str(tmp_path)], stderr=subprocess.DEVNULL
    )
    try:
        page = httpx.Client(transport=httpx.HTTPTransport(retries=0))
        while True:
            assert process.poll() is None
            try:
                text = page.get(f"http://127.0.0.1:{port}/", timeout=30).text
                break
            except httpx.ConnectError:
                pass
        page.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)

    assert "DigitsAsJson" in text
    assert "TextAsJson" not in text


# --- abuse


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--models", "resnet"], "no users of resnet, only of digits"),
        (["--users", "0"], "at least 1"),
        (["--seconds", "0"], "at least 1"),
        (["--shape", "square"], "invalid choice: 'square'"),
    ],
)
def test_a_mistake_is_a_sentence(arguments: list[str], says: str) -> None:
    done = run(*arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr

"""The live view: drawn in place for who watches, a line now and then for who does not."""

import fcntl
import logging
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO

import httpx
import pytest

from serving.cli import live
from serving.cli.live import Live, Screen
from serving.observe.report import Values
from serving.observe.totals import Totals
from tests.support.server import serving
from tests.support.terminal import Terminal

INFER = "/v2/models/iris/infer"
ROW = {
    "inputs": [
        {"name": "sepal_cm", "shape": [1, 2], "datatype": "FP32", "data": [5.5, 2.4]},
        {"name": "petal_cm", "shape": [1, 2], "datatype": "FP32", "data": [3.7, 1]},
    ]
}


class Tty(StringIO):
    """A terminal as a program sees it; `seen` is what a person sees."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError

    @property
    def seen(self) -> Terminal:
        terminal = Terminal()
        terminal.feed(self.getvalue())
        return terminal


# --- the screen


def test_each_drawing_takes_the_place_of_the_last() -> None:
    tty = Tty()
    screen = Screen(tty)

    for lines in (["one", "two", "three"], ["a longer one", "2"], ["1", "2", "3", "4"]):
        screen.draw(lines)
        assert tty.seen.lines == lines
        assert tty.seen.cursor_shown


def test_what_is_logged_stands_above_and_stays() -> None:
    tty = Tty()
    screen = Screen(tty)

    screen.draw(["one", "two"])
    screen.write("WARNING something\n")
    screen.draw(["1", "2"])
    screen.write("INFO more\n")

    assert tty.seen.lines == ["WARNING something", "INFO more", "1", "2"]


def test_each_write_alone_leaves_the_terminal_as_it_was() -> None:
    """However the process ends, the cursor is there."""
    written: list[str] = []
    tty = Tty()
    tty.write = lambda text: written.append(text) or len(text)  # type: ignore[method-assign,func-returns-value]
    screen = Screen(tty)
    screen.draw(["one", "two"])
    screen.write("log\n")
    screen.end()

    terminal = Terminal()
    for text in written:
        terminal.feed(text)
        assert terminal.cursor_shown
        assert terminal.breaks


def test_a_line_that_is_too_long_is_cut_by_the_terminal() -> None:
    tty = Tty()
    screen = Screen(tty)

    screen.draw(["x" * 200, "two"])
    screen.draw(["y" * 200, "2"])

    assert len(tty.seen.lines) == 2
    assert tty.seen.lines[0].startswith("yyy")


# --- the view


def values(success: int = 0, ready: bool = True) -> Values:
    totals = Totals(success=success, runs=success)
    totals.latency.add(0.004, success)
    model = {"name": "m", "version": "1", "gauges": {"ready": 1.0}, "totals": totals.as_values()}
    return {"version": "0", "ready": float(ready), "models": [model]}


def test_it_shows_the_last_seconds() -> None:
    tty, now, done = Tty(), [0.0], [0]
    view = Live(tty, lambda: values(done[0]), "http://here", clock=lambda: now[0])

    for _ in range(20):  # 100 a second, at first
        view.show()
        now[0] += 1
        done[0] += 100
    assert tty.seen.lines[0] == "ready · http://here · 0:00:19 · Ctrl-C ends it"
    assert tty.seen.lines[2].split()[:4] == ["m", "100", "4", "ms"]
    for _ in range(10):  # and then none
        view.show()
        now[0] += 1

    assert tty.seen.lines[2].split()[:3] == ["m", "0", "-"]


def test_it_says_that_the_server_is_not_ready() -> None:
    tty = Tty()

    Live(tty, lambda: values(ready=False), "http://here").show()

    assert tty.seen.lines[0].startswith("not ready · ")


def test_while_the_server_cannot_say_anything_the_last_that_it_said_stays() -> None:
    tty = Tty()
    answers: list[Values | Exception] = [values(), TimeoutError(), values()]

    def report() -> Values:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    view = Live(tty, report, "http://here")
    for _ in range(3):
        view.show()
        assert len(tty.seen.lines) == 3


def test_in_a_file_it_is_a_line_each_time_of_what_has_happened_since() -> None:
    log, now, done = StringIO(), [0.0], [0]
    view = Live(log, lambda: values(done[0]), "http://here", clock=lambda: now[0])

    for more in (50, 0):
        view.show()
        now[0] += 10
        done[0] += more
    view.show()

    first, second = log.getvalue().splitlines()
    assert first.startswith("ready; m 5.0 requests/s, p50 4 ms, p99 4.9")
    assert second == "ready; no requests"
    assert "\x1b" not in log.getvalue()


def test_the_log_is_led_around_it_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = Tty()
    handler = logging.StreamHandler(tty)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])

    with Live(tty, values, "http://here") as view:
        view.show()
        logging.getLogger("test").warning("mind the step")
        view.show()
        assert tty.seen.lines[0] == "mind the step"
        assert tty.seen.lines[1].startswith("ready")

    assert handler.stream is tty
    assert tty.seen.column == 0
    assert tty.seen.lines[-1] == ""


def test_a_terminal_that_goes_away_ends_it_quietly() -> None:
    class Gone(Tty):
        def write(self, _: str) -> int:
            raise OSError("gone")

    view = Live(Gone(), values, "http://here")

    view._run()


# --- a real server, on a real terminal and without


@dataclass
class OnTerminal:
    process: subprocess.Popen[bytes]
    keyboard: int
    written: bytearray

    def seen(self) -> str:
        terminal = Terminal(200)
        # A part of a character, or of a command, may not have come yet.
        text = bytes(self.written).decode(errors="ignore").rpartition("\x1b[?25h")
        terminal.feed("".join(text[:2]).replace("\r\n", "\n"))
        return terminal.text

    def until(self, *parts: str) -> str:
        """What is seen once all of these are."""
        end = time.monotonic() + 60
        while not all(part in (seen := self.seen()) for part in parts):
            assert time.monotonic() < end, seen
            assert self.process.poll() is None, seen
            time.sleep(0.1)
        return seen


@contextmanager
def on_a_terminal(*arguments: str) -> Iterator[OnTerminal]:
    """`jitney serve` with a terminal of its own, that controls it."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (40, 200))
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.cli", "serve", "--port", "0", *arguments],
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(its)
    written = bytearray()

    def read() -> None:
        try:
            while part := os.read(ours, 4096):
                written.extend(part)
        except OSError:
            pass  # nobody writes any more

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield OnTerminal(process, ours, written)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        os.close(ours)


def test_on_a_terminal_it_moves_with_the_load_and_ends_with_ctrl_c() -> None:
    with on_a_terminal("--live") as server:
        seen = server.until("ready · http://127.0.0.1:", "req/s", "iris ")
        url = seen.partition("ready · ")[2].split()[0]
        with httpx.Client(base_url=url) as client:
            for _ in range(50):
                assert client.post(INFER, json=ROW).status_code == 200
        server.until("    1.0      0         0        0")  # rows a batch, queue, refused, failed
        os.write(server.keyboard, b"\x03")

        assert server.process.wait(timeout=30) == 0

    text = bytes(server.written).decode()
    assert "Traceback" not in text
    terminal = Terminal(200)
    terminal.feed(text.replace("\r\n", "\n"))
    assert terminal.cursor_shown
    assert terminal.breaks
    assert terminal.column == 0
    assert terminal.text.count("req/s") == 1  # it was drawn in place


def test_without_a_terminal_it_is_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("--live") as server:
        assert server.post(INFER, json=ROW).status_code == 200
        end = time.monotonic() + 6 * live.SELDOM_S
        while not (lines := [line for line in server.printed if "iris 0.1 requests/s" in line]):
            assert time.monotonic() < end, server.output
            time.sleep(0.1)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=30) == 0

    assert lines[0].startswith("ready; ")
    assert "\x1b" not in server.output
    assert "Traceback" not in server.output


def test_without_it_nothing_of_it_is_even_imported() -> None:
    code = (
        "import sys; from serving.cli import main; import serving.server; "
        "print([name for name in sys.modules if name.startswith('serving.cli.l')])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "[]"

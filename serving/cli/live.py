"""`jitney serve --live`: what the server does, drawn in place in a terminal each second.

Its numbers are those of `/metrics`, of the last seconds. Each drawing is written at once
and leaves the terminal as it was found, the cursor shown: however the process ends, there
is nothing to restore. Where nobody watches, in a file or a container's log, it is a line
now and then.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from ..observe.report import Values
from .lately import figures, sentence, table

if TYPE_CHECKING:
    from ..engine import Engine

EVERY_S: Final = 1.0
SELDOM_S: Final = 10.0
"""Where it is no terminal."""
WINDOW_S: Final = 5.0
"""What rates and percentiles are of, on a terminal; elsewhere of what passed since the last."""
ANSWER_S: Final = 5.0
"""The event loop has said by then what there is to say, or this time nothing is drawn."""
USUAL_HEIGHT: Final = 24

# The terminal's own: hide and show the cursor, cut and break long lines, delete.
_HIDE, _SHOW, _CUT, _BREAK = "\x1b[?25l", "\x1b[?25h", "\x1b[?7l", "\x1b[?7h"
_DELETE_LINE, _DELETE_BELOW = "\x1b[2K", "\x1b[J"

Report = Callable[[], Values]
"""What the server says of itself (see observe.report); asked from a thread, and may wait."""


class Screen:
    """Some lines at the end of a terminal that are drawn again and again.

    Also a stream for the log: what is written to it stands above them.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lines: list[str] = []
        self._writing = threading.Lock()

    def draw(self, lines: list[str]) -> None:
        """Show these in place of what was drawn before."""
        with self._writing:
            self._put(self._start() + _drawn(lines))
            self._lines = lines

    def write(self, text: str) -> int:
        """Text that stays, in whole lines."""
        with self._writing:
            self._put(f"{self._start()}{_DELETE_BELOW}{text}{_drawn(self._lines)}")
        return len(text)

    def flush(self) -> None:
        """All is written already."""

    def end(self) -> None:
        """Leave what is drawn where it is, and begin a new line."""
        with self._writing:
            if self._lines:
                self._put("\n")
                self._lines = []

    def height(self) -> int:
        """Lines that the terminal has now."""
        try:
            lines = os.get_terminal_size(self._file.fileno()).lines
        except OSError:
            lines = 0
        return lines or USUAL_HEIGHT  # some do not say

    def _start(self) -> str:
        """To where the drawing begins."""
        up = len(self._lines) - 1
        return f"\r\x1b[{up}A" if up > 0 else "\r"

    def _put(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()


def _drawn(lines: Sequence[str]) -> str:
    body = "\n".join(f"{_DELETE_LINE}{line}" for line in lines)
    return f"{_HIDE}{_CUT}{body}{_DELETE_BELOW}{_BREAK}{_SHOW}"


class Live:
    """Shows from the moment it is entered until it is left, from a thread of its own.

    The thread, because writing to a terminal may wait for whoever reads it, and serving must not.
    """

    def __init__(
        self, file: TextIO, report: Report, url: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file, self._report, self._url, self._clock = file, report, url, clock
        self._screen = Screen(file) if file.isatty() else None
        self._moments: deque[tuple[float, Values]] = deque()
        self._began = clock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live view", daemon=True)
        self._handlers: list[logging.StreamHandler[TextIO]] = []

    def __enter__(self) -> Self:
        if self._screen:
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler) and handler.stream is self._file:
                    handler.setStream(self._screen)
                    self._handlers.append(handler)
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(ANSWER_S)  # a terminal that is held up does not hold us up
        for handler in self._handlers:
            handler.setStream(self._file)
        if self._screen and not self._thread.is_alive():
            self._screen.end()

    def _run(self) -> None:
        every_s = EVERY_S if self._screen else SELDOM_S
        try:
            self.show()
            while not self._over.wait(every_s):
                self.show()
        except OSError:
            return  # nobody can see it any more

    def show(self) -> None:
        """Draw once, or write a line."""
        try:
            values = self._report()
        except Exception:
            # The server is too busy to say, or has ended: what is drawn stays.
            return
        now = self._clock()
        self._moments.append((now, values))
        window_s = WINDOW_S if self._screen else 0.0
        while len(self._moments) > 2 and now - self._moments[1][0] >= window_s:
            self._moments.popleft()
        since, before = self._moments[0]
        models = figures(values, before, max(now - since, 1e-9))
        ready = bool(values["ready"])
        if self._screen:
            head = f"{'ready' if ready else 'not ready'} · {self._url} · {_age(now - self._began)}"
            self._screen.draw(table(models, head, self._screen.height()))
        elif len(self._moments) > 1:
            self._file.write(sentence(models, ready=ready) + "\n")
            self._file.flush()


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} · Ctrl-C ends it"


def live_view(engine: "Engine", url: str) -> Live:
    """The view of a server in this process; to be called on its event loop."""
    from ..http.metrics_route import engine_report

    loop = asyncio.get_running_loop()

    def report() -> Values:
        taken: Future[Values] = Future()

        def take() -> None:
            try:
                taken.set_result(engine_report(engine))
            except Exception as error:
                taken.set_exception(error)

        loop.call_soon_threadsafe(take)  # where nothing counts meanwhile
        return taken.result(ANSWER_S)

    return Live(sys.stderr, report, url)

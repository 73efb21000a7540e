"""What is being done while somebody waits: a line that rewrites itself, or a line now and then."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

WIDTH = 79
"""A longer line would be broken, and only its last part be rewritten."""
OFTEN_ENOUGH_S = 2.0


class Progress:
    """Call it with short sentences, from any thread; leave it before anything else is printed.

    Where nobody watches, in a file or a container's log, a sentence is printed only if
    the last one is long enough ago, so that waiting is explained and a fast start is quiet.
    """

    def __init__(self, file: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._rewrites = file.isatty()
        self._shown = ""
        self._last = clock()

    def __call__(self, sentence: str) -> None:
        if self._rewrites:
            line = sentence if len(sentence) <= WIDTH else sentence[: WIDTH - 1] + "…"
            self._write(f"\r{line:<{len(self._shown)}}")
            self._shown = line
        elif self._clock() >= self._last + OFTEN_ENOUGH_S:
            self._write(sentence + "\n")
            self._last = self._clock()

    def clear(self) -> None:
        """Leave an empty line for whatever comes next."""
        if self._shown:
            self._write(f"\r{'':<{len(self._shown)}}\r")
            self._shown = ""

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.clear()

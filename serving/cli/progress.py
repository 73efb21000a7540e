"""What is being done while somebody waits: a line that rewrites itself, or a line now and then."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self, TextIO

WIDTH = 79
"""A longer line would be broken, and only its last part be rewritten."""
BAR = 16
OFTEN_ENOUGH_S = 2.0
WORTH_SAYING = 0.05
"""Of the whole: before so much of it is done, nobody knows what the rest takes."""


class _Expected(NamedTuple):
    """What is coming: one name after the other, each for about so long at most."""

    names: Sequence[str]
    each_s: float


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
        self._began: float | None = None
        self._expected: _Expected | None = None
        self._at = -1
        self._at_since = 0.0

    def expect(self, names: Sequence[str], each_s: float) -> None:
        """Sentences that begin with `name: ` tell from now on how far everything is.

        names: in the order of their coming. each_s: seconds that one takes at most, or so.
        """
        self._expected, self._at = _Expected(names, each_s), -1

    def __call__(self, sentence: str, done: float | None = None) -> None:
        """`done`: how much of the whole is behind us, 0 to 1, if that is known."""
        left_s = None
        if done is not None:
            left_s = self._left_s(done)
        elif self._expected:
            done, left_s = self._expectation(sentence, self._expected)
        if self._rewrites:
            line = self._line(sentence, done, left_s)
            self._write(f"\r{line:<{len(self._shown)}}")
            self._shown = line
        elif self._clock() >= self._last + OFTEN_ENOUGH_S:
            self._write(sentence + (f" ({done:.0%})" if done is not None else "") + "\n")
            self._last = self._clock()

    def clear(self) -> None:
        """Leave an empty line for whatever comes next."""
        if self._shown:
            self._write(f"\r{'':<{len(self._shown)}}\r")
            self._shown = ""

    def _left_s(self, done: float) -> float | None:
        """Seconds that the rest takes if it goes on as it went."""
        now = self._clock()
        if self._began is None:
            self._began = now
        if done < WORTH_SAYING:
            return None
        return (now - self._began) * max(0.0, 1 - done) / done

    def _expectation(self, sentence: str, expected: _Expected) -> tuple[float | None, float | None]:
        """How far everything is, and seconds for the rest, at most or so."""
        names, each_s = expected
        name = sentence.partition(": ")[0]
        now = self._clock()
        if not 0 <= self._at < len(names) or names[self._at] != name:
            # Of several that are called the same, the next.
            following = [at for at in range(self._at + 1, len(names)) if names[at] == name]
            if not following:
                return None, None
            self._at, self._at_since = following[0], now
        part = min(1.0, (now - self._at_since) / each_s) if each_s else 0.0
        return (self._at + part) / len(names), (len(names) - self._at - part) * each_s

    def _line(self, sentence: str, done: float | None, left_s: float | None) -> str:
        before = f"{bar(done, BAR, self._file.encoding)} {done:4.0%} " if done is not None else ""
        after = f", {_time_left(left_s)}" if left_s else ""
        room = WIDTH - len(before) - len(after)
        if len(sentence) > room:
            sentence = sentence[: room - 1] + "…"
        return before + sentence + after

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.clear()


def bar(done: float, width: int, encoding: str | None = "utf-8") -> str:
    """A share from 0 to 1 as a bar of so many characters, of those that the encoding has."""
    full = round(min(1.0, max(0.0, done)) * width)
    try:
        "█░".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "#" * full + "-" * (width - full)
    return "█" * full + "░" * (width - full)


def _time_left(left_s: float) -> str:
    if left_s < 100:
        return f"about {max(1, round(left_s))} s left"
    minutes = round(left_s / 60)
    return f"about {minutes} min left" if minutes < 100 else f"about {minutes // 60} h left"

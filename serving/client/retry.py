"""Whether a request that failed is sent again, and when. Pure: knows no clock and no socket.

Three bounds, all of which must allow it:

* `retries`: so often for each request. Three attempts are what Google's SRE book gives one,
  for who has met overload three times meets it everywhere.
* The deadline: no attempt begins after it, and nobody waits for one that could not.
* The retry budget, of all requests together: retries are a tenth of the requests in the
  long run. When a server is down for everybody, each client adds 10% to its load, and not
  200%. This too is from the SRE book ("Handling Overload"); the bucket of tokens that keeps
  count is how gRPC (its proposal A6, retry throttling) and AWS' SDKs do it.

A server that says when to come back (Retry-After) is taken at its word: never earlier, and
later by a random part, so that not all come back at one instant. Without a word, pauses
double, and are random from nothing upwards ("full jitter").
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

from .errors import JitneyError

BASE_S: Final = 0.1
"""The longest first pause, where the server did not say."""
LONGEST_S: Final = 2.0
SPREAD: Final = 0.25
"""Of the server's own pause, at the most so much is added."""


class RetryBudget:
    """Tokens: every request brings `ratio` of one, every retry takes one. It begins full.

    Clients may share one, also across threads.
    """

    def __init__(self, *, ratio: float = 0.1, capacity: float = 100.0) -> None:
        if not 0 <= ratio <= 1 or not isfinite(capacity) or capacity < 0:
            raise ValueError(
                f"ratio must be in [0, 1] and capacity at least 0, got {ratio!r} and {capacity!r}"
            )
        self._ratio = ratio
        self._capacity = self._tokens = capacity
        self._lock = threading.Lock()

    @property
    def tokens(self) -> float:
        return self._tokens

    def deposit(self) -> None:
        """A request is sent for the first time."""
        with self._lock:
            self._tokens = min(self._capacity, self._tokens + self._ratio)

    def withdraw(self) -> bool:
        """Whether a request may be sent again; if so, a token is gone."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


@dataclass(slots=True)
class Attempts:
    """The attempts of one request."""

    retries: int
    budget: RetryBudget
    last_start: float
    """No attempt begins after this instant."""
    random: Callable[[], float]
    """From 0 to 1."""
    made: int = 0
    _free: bool = True

    def __post_init__(self) -> None:
        self.budget.deposit()

    def begin(self) -> None:
        """An attempt begins."""
        self.made += 1

    def pause_s(self, error: JitneyError, now: float) -> float | None:
        """How long to wait before the next attempt after this failure; None: there is none."""
        if self.made > self.retries:
            return None
        if error.retry_after_s is not None:
            pause_s = error.retry_after_s * (1 + SPREAD * self.random())
        else:
            pause_s = min(LONGEST_S, BASE_S * 2.0 ** min(self.made - 1, 30)) * self.random()
        if now + pause_s > self.last_start or not self.budget.withdraw():
            return None
        return pause_s

    def again_at_once(self, now: float) -> bool:
        """A kept connection was found closed: whether to send on a new one, once, for nothing.

        That is what servers do to connections that were idle: it has not seen the request,
        and this adds nothing to its load.
        """
        again, self._free = self._free and now <= self.last_start, False
        if again:
            self.made -= 1
        return again


def retry_after_s(value: bytes | None, date: bytes | None, now: float) -> float | None:
    """A Retry-After header: the seconds until then; None if it says nothing that is known.

    It may be seconds, or a date, which is taken from the reply's own Date so that clocks may
    differ. now: seconds since 1970, where the reply has no date.
    """
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        then = parsedate_to_datetime(text).timestamp()
        since = parsedate_to_datetime(date.decode("latin-1")).timestamp() if date else now
    except (ValueError, OverflowError):
        return None
    return max(0.0, then - since)

"""How far a run is, in one line. Knows no clock and no terminal."""

from collections import deque

BAR = 20
"""Characters."""
RECENT_S = 15.0
"""Seconds over which the rate is taken: long beside a block, short beside a change of weather."""


class Progress:
    """Told of every step; says the rate and the time left."""

    def __init__(self, now: float, done: int = 0) -> None:
        """done: the rows of earlier runs, which say nothing about the rate of this one."""
        self._steps = deque([(now, done)])
        self.done, self.rejected = done, 0

    def step(self, now: float, *, done: int, rejected: int) -> None:
        """So many rows in all are done now, and so many were set aside."""
        self.done, self.rejected = done, rejected
        self._steps.append((now, done))
        while len(self._steps) > 2 and self._steps[1][0] <= now - RECENT_S:
            self._steps.popleft()

    @property
    def rate(self) -> float:
        """Rows a second, lately; 0 before anything is known."""
        (began, before), (ended, after) = self._steps[0], self._steps[-1]
        return (after - before) / (ended - began) if ended > began else 0.0

    def line(self, rows: float | None) -> str:
        """rows: all there are, maybe estimated; None if nobody knows."""
        words = []
        if rows:
            share = min(1.0, self.done / rows)
            words.append(f"[{'#' * int(share * BAR):-<{BAR}}] {share:4.0%}")
        rate = self.rate
        words.append(f"{self.done:,} rows" + (f", {rate:,.0f}/s" if rate else ""))
        if rows and rate:
            words.append(f"{duration(max(0.0, rows - self.done) / rate)} left")
        if self.rejected:
            words.append(f"{self.rejected:,} set aside")
        return ", ".join(words)


def duration(seconds: float) -> str:
    """As people say it: 4 s, 3:07 or 2:03:07."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}"

"""Who may wait. Pure: it is told what waits and when an answer would come, and keeps no count.

A newcomer is refused if there is no room for it, or if its answer would come
after its deadline. How far predictions of that kind have been off lately is kept
back as a margin, so that who is admitted is in time.
"""

from dataclasses import dataclass

from .errors import Draining, QueueFull, TooLate, TooManyRows

# One answer in so many may come later than predicted plus the margin.
_LATE_SHARE = 0.02
# How fast the margin follows, in shares of the error that it sees.
_FOLLOWS = 0.05


@dataclass(slots=True)
class Admission:
    """Bounds what waits, by rows and by time."""

    max_rows: int
    draining: bool = False
    margin_s: float = 0.0
    """Kept back from every deadline."""

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {self.max_rows!r}")

    def check_room(self, rows: int, *, waiting: int, row_s: float = 0.0) -> None:
        """Return if `rows` more may wait beside the `waiting` ones; raise a `Rejected` if not.

        row_s: seconds that a waiting row takes to leave, for the time to come back after.
        """
        if self.draining:
            raise Draining
        if rows + waiting > self.max_rows:
            if rows > self.max_rows:
                raise TooManyRows(rows=rows, limit=self.max_rows)
            retry_after_s = (rows + waiting - self.max_rows) * row_s
            raise QueueFull(
                rows=rows, waiting=waiting, limit=self.max_rows, retry_after_s=retry_after_s
            )

    def check_time(self, *, answer_s: float, allowed_s: float) -> None:
        """Return if an answer in so many seconds is in time; raise `TooLate` if not."""
        expected_s = answer_s + self.margin_s
        if expected_s > allowed_s:
            raise TooLate(
                expected_s=expected_s, allowed_s=allowed_s, retry_after_s=expected_s - allowed_s
            )

    def learn(self, late_s: float) -> None:
        """Learn from an answer that came so much later than predicted (less than 0: earlier).

        The margin moves so that the given share of answers comes later than it allows for.
        """
        off_s = late_s - self.margin_s
        weight = 1 - _LATE_SHARE if off_s > 0 else _LATE_SHARE
        self.margin_s = max(0.0, self.margin_s + _FOLLOWS * weight * off_s)

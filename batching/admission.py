"""Who may wait. Pure: it is told what waits and when an answer would come, and keeps no count.

A newcomer is refused if there is no room for it, or if its answer would come
after its deadline. What is predicted is the model's part; on a busy event loop a
request also waits to be read, and its answer to be written: that part is learned
from how long the loop's turns take.
"""

from dataclasses import dataclass

from .errors import Draining, QueueFull, TooLate, TooManyRows

# A request's bytes wait for the turn that reads them (half of one, mostly), its task for
# the next, and its answer for one more.
_TURNS = 3
_BELIEF, _RELIEF = 0.2, 0.5
_LONGER_TURN_S = 2e-3

# What nobody can predict takes a tenth more; or up to this, where those who were let in
# are late: with every batch that has such riders a little more, with every other one less.
_SPARE, _MOST_SPARE = 1.1, 1.6
_MORE, _LESS = 1.02, 0.998


@dataclass(slots=True)
class Admission:
    """Bounds what waits, by rows and by time."""

    max_rows: int
    draining: bool = False
    turn_s: float = 0.0
    """What a turn of the event loop takes these days."""
    spare: float = _SPARE
    """What is allowed for beyond what is predicted, as a factor."""

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {self.max_rows!r}")

    def has_room(self, rows: int, waiting: int) -> bool:
        """Whether `check_room` would return."""
        return rows + waiting <= self.max_rows and not self.draining

    def check_room(self, rows: int, *, waiting: int, row_s: float = 0.0) -> None:
        """Return if `rows` more may wait beside the `waiting` ones; raise a `Rejected` if not.

        row_s: seconds that a waiting row takes to leave, for the time to come back after.
        """
        if self.has_room(rows, waiting):
            return
        if self.draining:
            raise Draining
        if rows > self.max_rows:
            raise TooManyRows(rows=rows, limit=self.max_rows)
        retry_after_s = (rows + waiting - self.max_rows) * row_s
        raise QueueFull(
            rows=rows, waiting=waiting, limit=self.max_rows, retry_after_s=retry_after_s
        )

    def needed_s(self, answer_s: float) -> float:
        """What a caller must allow, if the model's part of its answer takes so many seconds."""
        return (answer_s + _TURNS * self.turn_s) * self.spare

    def check_time(self, *, needed_s: float, allowed_s: float) -> None:
        """Return if the caller allows enough; raise `TooLate` if not."""
        if needed_s > allowed_s:
            raise TooLate(needed_s=needed_s, allowed_s=allowed_s)

    def observe_batch(self, missed: bool) -> None:
        """Learn from a batch. `missed`: whether somebody who was let in had no time for it."""
        factor = _MORE if missed else _LESS
        self.spare = min(_MOST_SPARE, max(_SPARE, self.spare * factor))

    def observe_turn(self, turn_s: float) -> None:
        """Learn from one turn of the event loop."""
        # One that took very long is most likely an accident; and who is refused for it
        # teaches us nothing about the next.
        turn_s = min(turn_s, 2 * self.turn_s + _LONGER_TURN_S)
        belief = _BELIEF if turn_s > self.turn_s else _RELIEF
        self.turn_s += belief * (turn_s - self.turn_s)

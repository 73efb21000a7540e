"""Who may wait. Pure: it is told what waits, and keeps no count of its own."""

from dataclasses import dataclass

from .errors import Draining, QueueFull, TooManyRows


@dataclass(slots=True)
class Admission:
    """Bounds the rows that wait."""

    max_rows: int
    draining: bool = False

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {self.max_rows!r}")

    def check(self, rows: int, *, waiting: int) -> None:
        """Return if `rows` more may wait beside the `waiting` ones; raise a `Rejected` if not."""
        if self.draining:
            raise Draining
        if rows + waiting > self.max_rows:
            if rows > self.max_rows:
                raise TooManyRows(rows=rows, limit=self.max_rows)
            raise QueueFull(rows=rows, waiting=waiting, limit=self.max_rows)

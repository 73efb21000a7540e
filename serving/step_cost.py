"""What a step before or after a model takes: a part that any takes, and a part a row. Pure.

Learned from steps as they come, the latest counting most. Of a lone text most is what goes
around its tokens, and a pipeline.py may do most of its work once a request: a request of 300
rows takes much less than 300 requests of one.
"""

from math import inf
from typing import Final

# How far one step moves what is expected of the next; and how much longer than expected
# it counts as at most, so that one odd step is not believed.
_BELIEF: Final = 0.2
_LONGER_S: Final = 1e-3

# Where rows have differed by less, of late, than by a thousandth of their mean, what is left
# of earlier differences is mostly rounding.
_ALIKE: Final = 1e-6


class StepCost:
    """Seconds a step, as `each_s + rows * row_s`: the line that fits best.

    Until steps of different sizes have been seen, all is taken to go by rows, which errs on the
    side of too long for larger ones.
    """

    __slots__ = ("_covariance", "_rows", "_slope_s", "_took_s", "_variance", "each_s", "row_s")

    def __init__(self) -> None:
        self.each_s = self.row_s = 0.0
        # Means over what was seen lately, and how both differ from them.
        self._rows = self._took_s = self._variance = self._covariance = 0.0
        self._slope_s = inf

    def predict(self, rows: int) -> float:
        """Seconds that a step of so many rows takes; 0 while nothing is known."""
        return self.each_s + rows * self.row_s

    @property
    def mean_row_s(self) -> float:
        """Seconds a row over all steps of late, of whatever sizes they were; 0 at first."""
        return self._took_s / self._rows if self._rows else 0.0

    def observe(self, rows: int, took_s: float) -> None:
        """Learn from a step. rows: 1 or more."""
        if not self._rows:
            self._rows, self._took_s = rows, took_s
        else:
            took_s = min(took_s, 2 * self.predict(rows) + _LONGER_S)
            by_rows, by_s = rows - self._rows, took_s - self._took_s
            self._rows += _BELIEF * by_rows
            self._took_s += _BELIEF * by_s
            kept = 1 - _BELIEF
            self._variance = kept * (self._variance + _BELIEF * by_rows * by_rows)
            self._covariance = kept * (self._covariance + _BELIEF * by_rows * by_s)
            if self._variance > _ALIKE * self._rows**2:
                self._slope_s = max(0.0, self._covariance / self._variance)
        self.row_s = min(self._slope_s, self._took_s / self._rows)
        self.each_s = max(0.0, self._took_s - self.row_s * self._rows)

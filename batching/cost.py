"""What a batch costs: rows and padded length in, seconds out.

    run(n, L)   = speed * (c0 + c1*n + c2*n*L + c3*n*L*L)
    cycle(n, L) = run(n, L) + LOOP_S*n + gap

The four coefficients are fitted once, to what was measured at load: none of them
negative, and in relative error, so that a run of 1 ms counts as much as one of 1 s.
Models of fixed shape have L = 0 and two of them. Every run then corrects `speed`.

A cycle is what a batch takes on the wall, from the end of the one before: the run, the
event loop's own work for its rows, and a gap, in which the loop serves others and the
thread that runs waits for its turn. Every cycle of a busy slot corrects `gap_s`. It is
counted by the batch: by the row, or as a factor, small batches under overload would
make a large one look dearer than it is, and what looks dear is refused, and leaves
batches small.

Pure: samples come in as arguments, and no clock is read.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import exp, log
from typing import NamedTuple

# A larger batch must be at least this much cheaper a row: smaller ones answer sooner.
WORTH_IT = 0.03

# How far one run may move the speed: it counts as at most this much slower or faster
# than predicted (in logarithms), and a tenth of that is believed; more of it with every
# further run that errs to the same side by more than noise does. One odd run in a
# hundred moves nothing; a machine that is twice as slow is known after 8 runs.
_SURPRISE = 0.3
_BELIEF, _MOST_BELIEF = 0.1, 0.5
_NOISE = 0.1

_SHORTEST_S = 1e-7

LOOP_S = 6e-5
"""About what the event loop does for a row."""

# A gap counts as at most twice what is known, and a millisecond: a pause of the whole
# process is not what batches cost.
_LONGER_GAP_S = 1e-3


class Sample(NamedTuple):
    """One run: its rows, the length they were padded to (0: fixed shape), and its seconds."""

    rows: int
    length: int
    run_s: float


class CostModel:
    """Predicts, and learns from what really happened."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        """Fit to at least one sample; raises ValueError for samples that cannot be."""
        measured = list(samples)
        if not measured or any(s.rows < 1 or s.length < 0 or s.run_s <= 0 for s in measured):
            raise ValueError(f"samples must be of positive rows and seconds, got {measured!r}")
        self.coefficients = _fit(measured)
        """c0 to c3, in seconds."""
        self.speed = 1.0
        """What runs take now, over what they took when they were measured."""
        self._streak = 0
        self.gap_s = 0.0
        """What a cycle takes beyond the run and the event loop's work for its rows."""
        self.error = max(abs(self._shape(s.rows, s.length) / s.run_s - 1) for s in measured)
        """The largest relative error of the fit."""
        self._cheapest: dict[tuple[int, int], int] = {}

    def _shape(self, rows: int, length: int) -> float:
        c0, c1, c2, c3 = self.coefficients
        return max(_SHORTEST_S, c0 + rows * (c1 + length * (c2 + length * c3)))

    def predict(self, rows: int, length: int = 0) -> float:
        """Seconds that a run of so many rows takes; always above zero."""
        return self.speed * self._shape(rows, length)

    def cycle(self, rows: int, length: int = 0) -> float:
        """Seconds from one batch's end to the next one's, if it has so many rows."""
        return self.predict(rows, length) + LOOP_S * rows + self.gap_s

    def at_best(self, rows: int, length: int = 0) -> float:
        """Seconds that a run takes where nothing is in its way: as it was measured at load."""
        return self._shape(rows, length)

    @property
    def by_length(self) -> bool:
        """Whether longer rows cost more."""
        return any(self.coefficients[2:])

    @property
    def batch_s(self) -> float:
        """What a cycle takes before its first row."""
        return self.speed * self.coefficients[0] + self.gap_s

    def row_s(self, length: int = 0) -> float:
        """What one more row of this length adds to a cycle."""
        _, c1, c2, c3 = self.coefficients
        return self.speed * (c1 + length * (c2 + length * c3)) + LOOP_S

    def cheapest_rows(self, limit: int, length: int = 0) -> int:
        """The smallest number of rows, up to `limit`, that is as good as the cheapest a row."""
        known = self._cheapest.get((limit, length))
        if known is None:
            known = self._cheapest[limit, length] = self._find_cheapest(limit, length)
            if len(self._cheapest) > 4096:
                self._cheapest.clear()
        return known

    def _find_cheapest(self, limit: int, length: int) -> int:
        # What is the same for every row does not matter here.
        # With coefficients that are not negative the cost a row falls all the way.
        wanted = (1 + WORTH_IT) * self._shape(limit, length) / limit
        low, high = 1, limit
        while low < high:
            middle = (low + high) // 2
            if self._shape(middle, length) / middle <= wanted:
                high = middle
            else:
                low = middle + 1
        return low

    def observe(self, rows: int, length: int, run_s: float) -> None:
        """Learn from a run."""
        surprise = log(max(run_s, _SHORTEST_S) / self.predict(rows, length))
        if surprise > _NOISE:
            self._streak = max(self._streak, 0) + 1
        elif surprise < -_NOISE:
            self._streak = min(self._streak, 0) - 1
        else:
            self._streak = 0
        belief = min(_MOST_BELIEF, _BELIEF * max(1, abs(self._streak)))
        self.speed *= exp(belief * max(-_SURPRISE, min(_SURPRISE, surprise)))

    def observe_cycle(self, rows: int, run_s: float, cycle_s: float) -> None:
        """Learn from a busy slot's cycle: the seconds from its last batch's end to this one's."""
        gap_s = max(0.0, cycle_s - run_s - LOOP_S * rows)
        believable_s = 2 * self.gap_s + _LONGER_GAP_S
        self.gap_s += _BELIEF * (min(gap_s, believable_s) - self.gap_s)


def _fit(samples: Sequence[Sample]) -> tuple[float, float, float, float]:
    """Least squares of the relative error over coefficients that are not negative.

    Four unknowns have 15 subsets: each is solved without bounds, and the best
    solution that keeps them is the best there is.
    """
    columns = [_features(sample) for sample in samples]
    scales = [max(column[k] for column in columns) or 1.0 for k in range(4)]
    rows = [
        [value / scale / sample.run_s for value, scale in zip(column, scales, strict=True)]
        for column, sample in zip(columns, samples, strict=True)
    ]
    usable = [k for k in range(4) if any(row[k] for row in rows)]
    best, best_error = [0.0] * 4, float("inf")
    for count in range(1, len(usable) + 1):
        for subset in combinations(usable, count):
            solution = _solve(rows, subset)
            if solution is None or min(solution) < 0:
                continue
            error = sum(
                (sum(c * row[k] for c, k in zip(solution, subset, strict=True)) - 1) ** 2
                for row in rows
            )
            # A term more must earn its place: it would fit the noise.
            if error < best_error * 0.999:
                best_error = error
                best = [0.0] * 4
                for c, k in zip(solution, subset, strict=True):
                    best[k] = c / scales[k]
    c0, c1, c2, c3 = best
    return c0, c1, c2, c3


def _features(sample: Sample) -> tuple[float, float, float, float]:
    n, length = sample.rows, sample.length
    return (1.0, float(n), float(n * length), float(n * length * length))


def _solve(rows: Sequence[Sequence[float]], subset: Sequence[int]) -> list[float] | None:
    """The least squares solution of rows @ x = 1 over some columns; None where it is not unique."""
    size = len(subset)
    # The normal equations, and their right side as the last column.
    matrix = [
        [sum(row[i] * row[j] for row in rows) for j in subset] + [sum(row[i] for row in rows)]
        for i in subset
    ]
    for k in range(size):
        pivot = max(range(k, size), key=lambda r: abs(matrix[r][k]))
        matrix[k], matrix[pivot] = matrix[pivot], matrix[k]
        if abs(matrix[k][k]) < 1e-12:
            return None
        for r in range(size):
            if r != k:
                factor = matrix[r][k] / matrix[k][k]
                matrix[r] = [a - factor * b for a, b in zip(matrix[r], matrix[k], strict=True)]
    return [matrix[k][size] / matrix[k][k] for k in range(size)]

"""What a batch costs: rows in, seconds out. Pure; made from measurements."""

from bisect import bisect_left
from collections.abc import Mapping

# A larger batch must be at least this much cheaper a row: smaller ones answer sooner.
WORTH_IT = 0.03


class CostModel:
    """Seconds that a run of so many rows takes, by what was measured at load."""

    def __init__(self, measured: Mapping[int, float]) -> None:
        """`measured`: seconds for each of a few batch sizes, at least one."""
        if not measured or min(measured) < 1 or min(measured.values()) <= 0:
            raise ValueError(f"measurements must be of positive rows and times, got {measured!r}")
        self._measured = dict(sorted(measured.items()))

    def predict(self, rows: int) -> float:
        """Seconds for a run of so many rows; between two measurements, along a line."""
        sizes = list(self._measured)
        at = bisect_left(sizes, rows)
        if at < len(sizes) and sizes[at] == rows:
            return self._measured[rows]
        if at == 0:
            return self._measured[sizes[0]]
        if at == len(sizes):
            return self._measured[sizes[-1]] * rows / sizes[-1]
        low, high = sizes[at - 1], sizes[at]
        share = (rows - low) / (high - low)
        return self._measured[low] * (1 - share) + self._measured[high] * share

    def cheapest_rows(self) -> int:
        """The measured size that costs least a row; the smaller one on a near tie."""
        best, best_cost = 0, float("inf")
        for rows, run_s in self._measured.items():
            if run_s / rows < best_cost * (1 - WORTH_IT):
                best, best_cost = rows, run_s / rows
        return best

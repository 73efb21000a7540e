"""A model's cost curve for people: as a picture of characters, and in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batching import CostModel, Sample
from models import Profile

BAR = 48
WORTH_SAYING = 1.1
"""Below this many times the rows a second, batching is not said to pay."""


@dataclass(frozen=True)
class Gain:
    """What batching is worth at one length."""

    length: int
    rows: int
    """The batch that is chosen when enough requests wait."""
    times: float
    """Rows a second with it, over one by one."""


class Curve:
    """What was measured of a model, and the cost model made of it."""

    def __init__(self, profile: Profile) -> None:
        self.samples = [Sample(*sample) for sample in profile.samples]
        self.cost = CostModel(self.samples)
        self.max_rows = profile.max_rows
        self.batches = profile.proof.batches
        self._kept = profile.worth_keeping
        self.lengths = sorted({sample.length for sample in self.samples})

    @property
    def gains(self) -> list[Gain]:
        """For each length."""
        return [self._gain(length) for length in self.lengths]

    def _gain(self, length: int) -> Gain:
        rows = self.cost.cheapest_rows(self.max_rows, length)
        times = rows * self.cost.predict(1, length) / self.cost.predict(rows, length)
        return Gain(length, rows, times)

    def picture(self) -> list[str]:
        """The lines of a chart, or for moving lengths of a table."""
        return self._chart() if self.lengths == [0] else self._table()

    def _chart(self) -> list[str]:
        """A bar for each number of rows: microseconds a row."""
        chosen = self.gains[0].rows
        costs = {sample.rows: sample.run_s / sample.rows for sample in self.samples}
        marks = dict.fromkeys(costs, "")
        if chosen not in costs:
            costs[chosen] = self.cost.predict(chosen) / chosen
        marks[chosen] = "  <- chosen" if self.batches else ""
        most = max(costs.values())
        cells = [
            (str(rows), micros(cost), "#" * max(1, round(BAR * cost / most)) + marks[rows])
            for rows, cost in sorted(costs.items())
        ]
        return _aligned([("rows", "µs a row", ""), *cells])

    def _table(self) -> list[str]:
        """Milliseconds a run by rows and lengths, and the formula that stands for them."""
        times = {(sample.rows, sample.length): sample.run_s for sample in self.samples}
        sizes = sorted({sample.rows for sample in self.samples})
        head = ("ms a run", *(f"length {length}" for length in self.lengths))
        cells = [
            (
                f"{rows} row{'s' if rows > 1 else ''}",
                *(
                    f"{times[rows, length] * 1e3:.3g}" if (rows, length) in times else "-"
                    for length in self.lengths
                ),
            )
            for rows in sizes
        ]
        return [*_aligned([head, *cells]), self.formula()]

    def formula(self) -> str:
        """The cost model as one line: milliseconds by rows n and length L, and its error."""
        terms = ("", " n", " n L", " n L²")
        coefficients = zip(self.cost.coefficients, terms, strict=True)
        parts = [f"{value * 1e3:.3g}{term}" for value, term in coefficients if value]
        return f"a run of n rows takes {' + '.join(parts)} ms, within {self.cost.error:.0%}"

    def words(self) -> str:
        """What follows from it."""
        if not self.batches:
            return f"{micros(self.cost.predict(1, self.lengths[0]))} µs for one row"
        if len({sample.rows for sample in self.samples}) == 1 and not self._kept:
            return (
                "one request at a time for now: there was no time to measure more; "
                "give it a larger --profile-budget, or a quieter machine"
            )
        paying = [gain for gain in self.gains if gain.times >= WORTH_SAYING]
        if not paying:
            return "batching does not pay for this model: one row costs the same in any batch"
        if self.lengths == [0]:
            return f"batching pays up to {paying[0].rows} rows: {paying[0].times:.1f}x"
        said = [
            f"at length {gain.length} up to {gain.rows} rows: {gain.times:.1f}x" for gain in paying
        ]
        rest = "" if len(paying) == len(self.lengths) else "; for longer rows it does not"
        return f"batching pays {', '.join(said)}{rest}"

    def as_values(self) -> dict[str, Any]:
        """The same for programs: plain values, as JSON has them."""
        return {
            "max_rows": self.max_rows,
            "samples": [
                {"rows": rows, "length": length, "seconds": run_s}
                for rows, length, run_s in self.samples
            ],
            "coefficients": list(self.cost.coefficients),
            "error": self.cost.error,
            "chosen": [
                {"length": gain.length, "rows": gain.rows, "times": gain.times}
                for gain in self.gains
            ],
            "says": self.words(),
        }


def micros(seconds: float) -> str:
    """Microseconds with three digits, never as 1e+03."""
    value = seconds * 1e6
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns to the right; the last one to the left if it is a picture."""
    picture = rows[0][-1] == ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if picture:
        widths[-1] = 0
    return [
        "  ".join(
            cell if picture and n == len(row) - 1 else f"{cell:>{width}}"
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

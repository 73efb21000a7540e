"""What a model has done, as numbers that only grow, and that add up over processes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from .histogram import Histogram


@dataclass(slots=True)
class Totals:
    """Everything that is counted of one model. Seconds are sums."""

    success: int = 0
    """Requests that were answered well."""
    run_failed: int = 0
    """Those whose run failed, alone too."""
    left: int = 0
    """Those whose caller had gone before they were answered."""
    refused: dict[str, int] = field(default_factory=dict)
    """Those that never ran, or came too late from it, by the reason."""
    good_rows: int = 0
    """Rows of those that were answered well."""
    runs: int = 0
    bisects: int = 0
    """Batches that failed, and were run again apart."""
    work: int = 0
    """Rows times length, as it came."""
    padded_work: int = 0
    """The same, as it ran."""
    predicted_s: float = 0.0
    misjudged_s: float = 0.0
    """By how much runs took more or less than predicted."""
    success_s: float = 0.0
    fail_s: float = 0.0
    queue_s: float = 0.0
    input_s: float = 0.0
    infer_s: float = 0.0
    output_s: float = 0.0
    last_s: float = 0.0
    """When the last batch ended, in seconds since 1970."""
    sizes: dict[int, list[float]] = field(default_factory=dict)
    """For each number of rows: batches, and their seconds of input, run and output."""
    latency: Histogram = field(default_factory=Histogram)
    """Of every request that rode: from its arrival until it was answered."""
    queue: Histogram = field(default_factory=Histogram)
    """Of the same: from its arrival until its batch was cut."""
    run: Histogram = field(default_factory=Histogram)
    """Of batches."""

    @property
    def batches(self) -> int:
        return int(sum(size[0] for size in self.sizes.values()))

    @property
    def rows(self) -> int:
        """Rows that have ridden in batches."""
        return int(sum(rows * size[0] for rows, size in self.sizes.items()))

    def as_values(self) -> dict[str, Any]:
        """The same as plain values, that JSON can hold too."""
        values: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Histogram):
                value = {"counts": list(value.counts), "sum": value.sum}
            elif one.name == "sizes":
                value = {str(rows): list(size) for rows, size in value.items()}
            elif one.name == "refused":
                value = dict(value)
            values[one.name] = value
        return values

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> Self:
        """What `as_values` made."""
        made = dict(values)
        for name in ("latency", "queue", "run"):
            histogram = Histogram()
            histogram.counts, histogram.sum = list(made[name]["counts"]), made[name]["sum"]
            made[name] = histogram
        made["sizes"] = {int(rows): list(size) for rows, size in made["sizes"].items()}
        made["refused"] = dict(made["refused"])
        return cls(**made)


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What two processes have counted of one model, together; both are of `as_values`."""
    together = _added(one, other)
    together["last_s"] = max(one["last_s"], other["last_s"])
    return together


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    together = dict(one)
    for name, value in other.items():
        mine = together.get(name)
        if mine is None:
            together[name] = value
        elif isinstance(value, Mapping):
            together[name] = _added(mine, value)
        elif isinstance(value, list):
            together[name] = [a + b for a, b in zip(mine, value, strict=True)]
        else:
            together[name] = mine + value
    return together

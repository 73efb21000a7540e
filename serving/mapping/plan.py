"""How a run is done: what depends on this machine, and must not change when a run goes on.

The same rows in the same batches give the same numbers to the last bit; in others they may
not. So the plan is written down when a run begins, and read when it goes on.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from batching import CostModel, Sample
from models import Model

from .blocks import Block
from .results import Output

CHUNK_ROWS = 4096
CHUNK_TEXTS = 1024
"""Rows that are read, sorted and written together, at most."""
CHUNK_BYTES = 8 * 2**20
"""And about the bytes that they and what is made of them may have."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was measured, and what was concluded."""

    threads: int
    """Threads that one run uses."""
    slots: int
    """Runs at one time."""
    batch_rows: int
    """Rows of the largest batch; 1 where rows may not ride together."""
    chunk_rows: int
    """Rows of a block."""
    samples: tuple[tuple[int, int, float], ...]
    """Rows, length and seconds of runs, for the cost model."""

    def __post_init__(self) -> None:
        for name in ("threads", "slots", "batch_rows", "chunk_rows"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} must be a whole number above 0, got {value!r}")

    def __str__(self) -> str:
        rows = f"up to {self.batch_rows} rows" if self.batch_rows > 1 else "one row"
        cores = "a core" if self.threads == 1 else f"{self.threads} cores"
        return f"batches of {rows}, each on {cores}"

    @property
    def cost(self) -> CostModel:
        return CostModel(Sample(*sample) for sample in self.samples)

    def with_threads(self, threads: int, slots: int) -> "Plan":
        return replace(self, threads=threads, slots=slots)

    def as_values(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_values(cls, values: Mapping[str, Any]) -> "Plan":
        """Raises ValueError or TypeError for what is none."""
        rows = values.get("samples", ())
        samples = tuple((int(n), int(length), float(run_s)) for n, length, run_s in rows)
        return cls(**{**values, "samples": samples})


def plan_for(model: Model, first: Block | None, outputs: tuple[Output, ...]) -> Plan:
    """By the model's profile, and by the first rows for how much memory a row takes."""
    profile, config = model.profile, model.source.config
    rows = profile.max_rows if profile.proof.batches else 1
    if config.max_batch_rows is not None:
        rows = min(rows, config.max_batch_rows)
    # Nobody waits for a row, so none of the few percent is left that a server gives for
    # smaller batches: costs by the row fall all the way to the largest that is worth it.
    moving = any(length for _, length, _ in profile.samples)
    most = CHUNK_TEXTS if moving else CHUNK_ROWS
    chunk = min(most, CHUNK_BYTES // _row_bytes(first, outputs))
    return Plan(
        threads=profile.threads,
        slots=profile.slots,
        batch_rows=rows,
        chunk_rows=max(1, chunk // rows) * rows,
        samples=profile.samples,
    )


def _row_bytes(first: Block | None, outputs: tuple[Output, ...]) -> int:
    """About what a row takes: as it was read, as a tensor, and what comes out of it."""
    read = 0
    if first is not None and first.table.num_rows:
        read = first.table.get_total_buffer_size() // first.table.num_rows
    made = 0
    for output in outputs:
        size = output.spec.dtype.itemsize
        for axis in output.tail:
            size *= max(1, axis)
        made += size
    return max(1, 2 * read + made)

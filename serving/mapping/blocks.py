"""Rows on their way in: what a reader gives, and pieces of a size of our own made of it.

Every row of the input has a number, from 0, over all files in their order. Rows that could
not even be read have one too, so that a run that goes on later counts as the first one did.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class Rejected(NamedTuple):
    """A row that is set aside."""

    row: int
    """Its number in the input, from 0."""
    reason: str
    values: Any
    """The row itself, as far as it could be read; a mapping, or the text that it was."""


@dataclass(frozen=True)
class Block:
    """Some consecutive rows of the input."""

    first: int
    """The first row's number."""
    count: int
    """Rows, with those that are rejected."""
    table: pa.Table
    """Those that could be read."""
    rows: Rows
    """The number of each row of `table`."""
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The number of the row behind the last one."""
        return self.first + self.count

    def between(self, first: int, end: int) -> "Block":
        """The part of it that holds the rows from `first` up to but not including `end`."""
        first, end = max(first, self.first), min(end, self.end)
        low, high = (int(at) for at in np.searchsorted(self.rows, [first, end]))
        return Block(
            first,
            max(0, end - first),
            self.table.slice(low, high - low),
            self.rows[low:high],
            [one for one in self.rejected if first <= one.row < end],
        )


def whole(first: int, table: pa.Table) -> Block:
    """A block of rows that could all be read."""
    rows = np.arange(first, first + table.num_rows, dtype=np.int64)
    return Block(first, table.num_rows, table, rows)


def unread(first: int, count: int, schema: pa.Schema) -> Block:
    """A block of rows that nobody wants: they are only counted."""
    return Block(first, count, schema.empty_table(), np.empty(0, np.int64))


def rechunked(blocks: Iterable[Block], size: int, start: int = 0) -> Iterator[Block]:
    """The same rows, from `start` on, in blocks of `size` rows; the last may have fewer.

    What is cut where depends on `start` and `size` only, not on the blocks that come.
    """
    waiting: list[Block] = []
    at = start
    for block in blocks:
        while block.end >= at + size:
            waiting.append(block.between(at, at + size))
            yield _joined(waiting)
            waiting, at = [], at + size
        if block.end > (waiting[-1].end if waiting else at):
            waiting.append(block.between(at, block.end))
    if waiting:
        yield _joined(waiting)


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return Block(
        blocks[0].first,
        sum(block.count for block in blocks),
        pa.concat_tables([block.table for block in blocks]),
        np.concatenate([block.rows for block in blocks]),
        [one for block in blocks for one in block.rejected],
    )

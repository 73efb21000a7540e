"""The rows of a block as a runtime takes them, whatever was in front of it.

Rows of one shape are in one array each input, of which batches are cut. Others are kept one
by one: those whose lengths differ and that nothing may pad, and those that a pipeline of the
user's own made, each from a request of one row as a server would get it.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np

from models import Array, Tensors

from .cutting import Places


class Feed(Protocol):
    """So many rows, known by their places from 0."""

    def __len__(self) -> int: ...

    def take(self, places: Places) -> Tensors:
        """These rows as one batch."""

    def sizes(self, places: Places) -> Sequence[int] | None:
        """How many rows of the batch belong to each; None: one each, or the batch as it is."""


class Stacked:
    """Rows that are in one array each input."""

    def __init__(self, tensors: Tensors, *, row_axis: bool = True) -> None:
        """row_axis: if not, a batch is one row, and has no axis for it."""
        self._tensors = tensors
        self._row_axis = row_axis

    def __len__(self) -> int:
        return len(next(iter(self._tensors.values())))

    def take(self, places: Places) -> Tensors:
        first, last = int(places[0]), int(places[-1])
        if not self._row_axis:
            return {name: one_row(t, first, row_axis=False) for name, t in self._tensors.items()}
        if last - first + 1 == len(places):  # places of a feed like this come in order
            return {name: tensor[first : last + 1] for name, tensor in self._tensors.items()}
        return {name: tensor[places] for name, tensor in self._tensors.items()}

    def sizes(self, places: Places) -> None:
        return None


class Padded:
    """Rows that are padded to the longest; a batch is cut back to its own longest."""

    def __init__(self, tensors: Tensors, lengths: Array, padded: set[str]) -> None:
        """lengths: of each row. padded: the tensors that have them, along axis 1."""
        self._tensors, self.lengths, self._padded = tensors, lengths, padded

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, places: Places) -> Tensors:
        length = int(self.lengths[places].max())
        return {
            name: tensor[places, :length] if name in self._padded else tensor[places]
            for name, tensor in self._tensors.items()
        }

    def sizes(self, places: Places) -> None:
        return None


class OneByOne:
    """Rows that were prepared each by itself."""

    def __init__(self, rows: Sequence[Tensors], counts: Sequence[int], keys: Sequence[Hashable]):
        """
        counts: how many rows the runtime counts for each. keys: who may share a batch.
        """
        self._rows, self._counts, self.keys = rows, counts, keys

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, places: Places) -> Tensors:
        if len(places) == 1:
            return self._rows[int(places[0])]
        names = self._rows[places[0]]
        return {
            name: np.concatenate([self._rows[place][name] for place in places]) for name in names
        }

    def sizes(self, places: Places) -> Sequence[int] | None:
        return [self._counts[place] for place in places]


def one_row(rows: Array | list[Array], place: int, *, row_axis: bool) -> Array:
    """One row's value, with an axis of one row in front or without. Always an array."""
    if isinstance(rows, list):
        return rows[place][np.newaxis] if row_axis else rows[place]
    row = rows[place : place + 1]
    return row if row_axis else row.reshape(rows.shape[1:])

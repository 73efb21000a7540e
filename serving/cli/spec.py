"""A model's input or output as its server describes it, and what fits in it. Pure."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..protocol.datatypes import DTYPES
from .errors import Mistake


class Spec(NamedTuple):
    """One input or output, as the server's metadata names it; -1 is an axis of any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def is_bytes(self) -> bool:
        return self.datatype == "BYTES"

    @property
    def has_rows(self) -> bool:
        """Whether the first axis counts rows, of which there may be any number."""
        return self.shape[:1] == (-1,)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row; of everything, where there are no rows."""
        return self.shape[1:] if self.has_rows else self.shape

    @property
    def row_size(self) -> int | None:
        """Elements of a row; None where they may be any number."""
        return None if -1 in self.row_shape else prod(self.row_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What numpy holds it in; BF16, which numpy has not, in float32."""
        if self.datatype == "BF16":
            return np.dtype(np.float32)
        if self.datatype not in DTYPES:
            raise Mistake(f"{self.name!r} is {self.datatype}, a type that this command has not.")
        return DTYPES[self.datatype]

    def takes(self) -> str:
        """In words, for messages."""
        noun = "text" if self.is_bytes else "number"
        size = self.row_size
        count = f"{noun}s" if size is None else f"{size} {noun}{'s' if size != 1 else ''}"
        each = " a row" if self.has_rows else ""
        return f"{self.name!r} takes {self.datatype} {shown_shape(self.shape)}: {count}{each}"


def shown_shape(shape: Sequence[int]) -> str:
    """A shape as people read it: [?, 64]."""
    return f"[{', '.join('?' if size < 0 else str(size) for size in shape)}]"


def fitted(spec: Spec, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which values of this shape can be sent.

    It is the same; or one row, where the axis of rows is missing; or as many rows as
    there were, each in the row's own shape; or what makes one or more whole rows of a flat
    list. Raises Mistake if it is none of them.
    """
    count, size = prod(shape), spec.row_size
    if _matches(shape, spec.shape):
        return shape
    if spec.has_rows and _matches(shape, spec.row_shape):
        return (1, *shape)
    if size is not None:
        rows = count // size if spec.has_rows and size else 1
        # A row may be written in another shape, but rows must not be cut in two.
        whole = rows * size == count and count and (len(shape) == 1 or rows in (1, shape[0]))
        if whole:
            return (rows, *spec.row_shape) if spec.has_rows else spec.row_shape
    elif spec.row_shape.count(-1) == 1 and len(shape) == 1:
        others = -prod(spec.row_shape)
        if count and others and count % others == 0:
            row = tuple(count // others if size < 0 else size for size in spec.row_shape)
            return (1, *row) if spec.has_rows else row
    what = f"{count}" if len(shape) == 1 else f"shape {shown_shape(shape)}"
    raise Mistake(f"{spec.takes()}; got {what}.")


def _matches(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(
        want in (-1, size) for size, want in zip(shape, wanted, strict=True)
    )

"""Columns into other types, value by value where it must be: one that does not fit is set aside."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MAX_SHOWN = 60
"""Characters of a value that are shown in a reason."""


def cast_rows(column: Any, kind: pa.DataType) -> tuple[Any, dict[int, str]]:
    """The column in another type, and for each value that does not fit, by its place, why.

    What does not fit is null in the result. Whole numbers are not cut, and do not wrap.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    try:
        return pc.cast(column, kind), {}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        bad: dict[int, str] = {}
        return pa.concat_arrays(_halves(column, kind, 0, bad)), bad


def _halves(column: Any, kind: pa.DataType, first: int, bad: dict[int, str]) -> list[Any]:
    """The column in pieces that are of the type; halved until what does not fit is alone."""
    try:
        return [pc.cast(column, kind)]
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(column) == 1:
            bad[first] = f"{shown(column[0].as_py())} is not {kind}"
            return [pa.nulls(1, kind)]
        middle = len(column) // 2
        left = _halves(column.slice(0, middle), kind, first, bad)
        return left + _halves(column.slice(middle), kind, first + middle, bad)


def shown(value: object) -> str:
    """A value as it is quoted to people: short."""
    text = repr(value.decode(errors="replace") if isinstance(value, bytes) else value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"

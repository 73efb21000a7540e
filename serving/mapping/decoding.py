"""Columns into tensors. A value that does not fit sets its row aside, and no other."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models import Array
from models.bfloat16 import to_bfloat16

from .casting import cast_rows
from .columns import Filled, is_list

Reasons = dict[int, str]
"""Why a row does not fit, by its place in the table."""


@dataclass(frozen=True)
class Decoded:
    """The rows of a table that fit."""

    places: NDArray[np.int64]
    """Where each of them is in the table."""
    tensors: dict[str, Array | list[Array]]
    """For each input all rows in one array; or in a list, where their shapes may differ."""
    bad: Reasons


def decode(table: pa.Table, filled: Sequence[Filled]) -> Decoded:
    """One value a row for each input, as its type and shape ask for."""
    bad: Reasons = {}
    flat: dict[str, Any] = {}
    for one in filled:
        if len(one.columns) == 1 and is_list(table.schema.field(one.columns[0]).type):
            flat[one.spec.name] = _lists(table.column(one.columns[0]), one, bad)
        else:
            flat[one.spec.name] = _scalars(table, one, bad)
    every = np.arange(table.num_rows)
    places = np.setdiff1d(every, list(bad)) if bad else every
    tensors: dict[str, Array | list[Array]] = {}
    for one in filled:
        values = flat[one.spec.name]
        if isinstance(values, list):
            tensors[one.spec.name] = [values[place] for place in places] if bad else values
        else:
            tensors[one.spec.name] = values[places] if bad else values
    return Decoded(places, tensors, bad)


def _scalars(table: pa.Table, one: Filled, bad: Reasons) -> Array | list[Array]:
    """A column for each element."""
    elements = []
    for name in one.columns:
        column, where = table.column(name).combine_chunks(), f"column {name!r}"
        elements.append(_values(column, one, where, bad))
    stacked = elements[0] if len(elements) == 1 else np.stack(elements, axis=1)
    tail = tuple(len(elements) if size < 0 else size for size in one.tail)
    return stacked.reshape(table.num_rows, *tail)


def _values(column: Any, one: Filled, where: str, bad: Reasons) -> Array:
    """A value a row, of the input's type; whatever there is for a row that is bad."""
    if column.null_count:
        for place in np.flatnonzero(column.is_null()):
            bad.setdefault(int(place), f"{where} has no value")
    values, wrong = _as_type(column, one)
    for at, why in wrong.items():
        bad.setdefault(at, f"{where}: {why}")
    return values


def _as_type(column: Any, one: Filled) -> tuple[Array, Reasons]:
    if one.spec.dtype.hasobject:
        column = pc.cast(column, pa.large_binary())
        return column.fill_null(b"").to_numpy(zero_copy_only=False), {}
    if pa.types.is_decimal(column.type):
        column = pc.cast(column, pa.float64())
    dtype = one.spec.dtype
    if dtype.kind == "V":  # bfloat16, which neither arrow nor numpy has
        numbers, wrong = cast_rows(column, pa.float32())
        return to_bfloat16(_to_numpy(numbers)), wrong
    if dtype.kind == "b" and not pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.float64())
        zero_or_one = np.isin(_to_numpy(column), (0, 1))
        wrong = {int(i): f"{column[int(i)]} is not bool" for i in np.flatnonzero(~zero_or_one)}
        return _to_numpy(column) == 1, wrong
    kind = pa.from_numpy_dtype(dtype)
    if pa.types.is_boolean(column.type) and not pa.types.is_boolean(kind):
        column = pc.cast(column, pa.uint8())
    numbers, wrong = cast_rows(column, kind)
    return _to_numpy(numbers), wrong


def _to_numpy(column: Any) -> Array:
    if column.null_count:
        column = column.fill_null(False if pa.types.is_boolean(column.type) else 0)
    values: Array = column.to_numpy(zero_copy_only=False)
    return values


def _lists(column: Any, one: Filled, bad: Reasons) -> Array | list[Array]:
    """A list a row, of lists maybe: as many values as a row of the input takes, in their order."""
    name = one.columns[0]
    column = column.combine_chunks()
    where = f"column {name!r}"
    for place in np.flatnonzero(column.is_null()) if column.null_count else ():
        bad.setdefault(int(place), f"{where} has no value")
    ends = np.arange(len(column) + 1)
    while is_list(column.type):
        column, own = _opened(column)
        ends = own[ends]
    values, wrong = _as_type(column, one)
    if column.null_count:
        for at in np.flatnonzero(column.is_null()):
            bad.setdefault(_owner(int(at), ends), f"{where} has an element without a value")
    for element, why in wrong.items():
        bad.setdefault(_owner(element, ends), f"{where}: {why}")
    fixed = prod(size for size in one.tail if size >= 0)
    counts = np.diff(ends)
    if -1 not in one.tail:
        for place in np.flatnonzero(counts != fixed):
            bad.setdefault(int(place), f"{where} has {counts[place]} values, not {fixed}")
        if bad:
            fits = counts == fixed
            room = np.zeros((len(counts), fixed), values.dtype)
            room[fits] = values[np.repeat(fits, counts)].reshape(-1, fixed)
            values = room
        return values.reshape(len(counts), *one.tail)
    for place in np.flatnonzero(counts % fixed) if fixed else ():
        bad.setdefault(int(place), f"{where} has {counts[place]} values, no multiple of {fixed}")
    return [
        values[begin:end].reshape(one.tail) if place not in bad else values[:0]
        for place, (begin, end) in enumerate(itertools.pairwise(ends))
    ]


def _owner(element: int, ends: NDArray[np.int64]) -> int:
    """The row whose list holds an element."""
    return int(np.searchsorted(ends, element, side="right")) - 1


def _opened(column: Any) -> tuple[Any, NDArray[np.int64]]:
    """The lists' values in one column, and where each list begins in it; the last one's end too."""
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return column.flatten(), np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

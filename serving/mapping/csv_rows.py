"""Rows of CSV files. The first line names the columns.

Types are guessed from the first block, by pyarrow, and values that do not fit them later are
set aside one by one. So everything is read as the bytes that it is, and cast here.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from .blocks import Block, Rejected, unread
from .casting import cast_rows
from .errors import CannotMap

BLOCK_BYTES = 4 * 2**20
_HEADER_AND_FROM_0 = 2
"""Rows are counted from 1 by the reader, and the line with the names is one."""

NULLS = (b"", b"NA", b"null", b"NULL", b"None", b"N/A", b"n/a", b"#N/A")
"""What stands for no value, where it is not text that is expected."""
NOT_A_NUMBER = (b"NaN", b"nan")
"""No value either, where numbers are whole; floats have a value for it."""


def schema_of(path: Path) -> pa.Schema:
    try:
        with pa_csv.open_csv(path, read_options=_READ, parse_options=_parse(_skip)) as reader:
            return reader.schema
    except pa.ArrowInvalid as error:
        raise CannotMap(f"{path} cannot be read as CSV: {error}.") from error


def blocks(
    path: Path, schema: pa.Schema, first: int, start: int, tell: Callable[[int], None]
) -> Iterator[Block]:
    """All rows of a file, with the columns of the schema; those before `start` unread.

    first: the number of the file's first row. tell: told the bytes read so far, at times.
    """
    ragged: list[Rejected] = []

    def set_aside(row: Any) -> str:
        why = f"it has {row.actual_columns} values, and there are {row.expected_columns} columns"
        ragged.append(Rejected(first + row.number - _HEADER_AND_FROM_0, why, row.text))
        return "skip"

    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(schema.names, pa.binary()),
        include_columns=schema.names,
        strings_can_be_null=False,
    )
    at = first
    with path.open("rb") as file:
        try:
            reader = pa_csv.open_csv(
                file,
                read_options=_READ,
                parse_options=_parse(set_aside),
                convert_options=convert,
            )
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise CannotMap(f"{path} does not fit the first file: {error}.") from error
        with reader:
            for batch in _batches(path, reader):
                block = _block(at, batch, ragged, last=False)
                at = block.end
                tell(file.tell())
                yield (
                    _typed(block, schema)
                    if at > start
                    else unread(block.first, block.count, schema)
                )
    if ragged:
        empty = pa.RecordBatch.from_pylist([], _untyped(schema))
        yield _typed(_block(at, empty, ragged, last=True), schema)


_READ = pa_csv.ReadOptions(block_size=BLOCK_BYTES, use_threads=False)


def _skip(_: Any) -> str:
    return "skip"


def _parse(invalid: Callable[[Any], str]) -> pa_csv.ParseOptions:
    return pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=invalid)


def _untyped(schema: pa.Schema) -> pa.Schema:
    return pa.schema([(name, pa.binary()) for name in schema.names])


def _batches(path: Path, reader: Any) -> Iterator[Any]:
    while True:
        try:
            yield reader.read_next_batch()
        except StopIteration:
            return
        except pa.ArrowInvalid as error:
            raise CannotMap(f"{path} cannot be read as CSV: {error}.") from error


def _block(at: int, batch: Any, ragged: list[Rejected], *, last: bool) -> Block:
    """The rows from number `at` on: those of the batch, and what was set aside among them.

    What was set aside behind the batch's last row stays in the list for the next block.
    """
    rows = np.arange(at, at + batch.num_rows, dtype=np.int64)
    among: list[Rejected] = []
    while ragged:
        place = int(np.searchsorted(rows, ragged[0].row))
        if place == len(rows) and not last:
            break
        among.append(ragged.pop(0))
        rows[place:] += 1
    count = batch.num_rows + len(among)
    return Block(at, count, pa.Table.from_batches([batch]), rows, among)


def _typed(block: Block, schema: pa.Schema) -> Block:
    columns, bad = [], dict[int, str]()
    for name, kind in zip(schema.names, schema.types, strict=True):
        column = block.table.column(name).combine_chunks()
        if not pa.types.is_string(kind):
            nulls = NULLS if pa.types.is_floating(kind) else NULLS + NOT_A_NUMBER
            column = pc.if_else(pc.is_in(column, pa.array(nulls)), None, column)
        texts, odd = cast_rows(column, pa.string())
        typed, wrong = cast_rows(texts, kind)
        columns.append(typed)
        for place, why in (odd | wrong).items():
            bad.setdefault(place, f"column {name!r}: {why}")
    typed_table = pa.table(columns, schema=schema)
    if not bad:
        return Block(block.first, block.count, typed_table, block.rows, block.rejected)
    texts_of = block.table.to_batches()[0]
    rejected = [
        Rejected(int(block.rows[place]), bad[place], _texts(texts_of, place))
        for place in sorted(bad)
    ]
    good = np.setdiff1d(np.arange(len(block.rows)), list(bad))
    together = sorted([*block.rejected, *rejected], key=lambda one: one.row)
    return Block(block.first, block.count, typed_table.take(good), block.rows[good], together)


def _texts(batch: Any, place: int) -> dict[str, str]:
    (row,) = batch.slice(place, 1).to_pylist()
    return {name: value.decode(errors="replace") for name, value in row.items()}

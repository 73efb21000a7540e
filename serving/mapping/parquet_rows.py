"""Rows of Parquet files, a piece of a row group at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .blocks import Block, unread, whole
from .errors import CannotMap

ROWS = 4096
"""Rows that are read at one time, at most."""
BUFFER_BYTES = 2**20
"""A row group may be larger than memory: of each of its columns so much is read ahead."""


def schema_of(path: Path) -> pa.Schema:
    return _open(path).schema_arrow


def rows_of(path: Path) -> int:
    count: int = _open(path).metadata.num_rows
    return count


def blocks(
    path: Path, schema: pa.Schema, first: int, start: int, tell: Callable[[int], None]
) -> Iterator[Block]:
    """All rows of a file, with the columns of the schema; those before `start` unread.

    first: the number of the file's first row. tell: told the bytes read so far, at times.
    """
    file = _open(path)
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if first + rows <= start:
            yield unread(first, rows, schema)
            first += rows
            continue
        for batch in file.iter_batches(ROWS, row_groups=[group], columns=schema.names):
            yield whole(first, _as(path, pa.Table.from_batches([batch]), schema))
            first += batch.num_rows
    tell(path.stat().st_size)


def _as(path: Path, table: pa.Table, schema: pa.Schema) -> pa.Table:
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError, ValueError) as error:
        raise CannotMap(f"{path} has not the columns of the first file: {error}.") from error


def _open(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False)

"""Tables into files of each kind, and several files of one kind into one."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from .columns import is_list
from .errors import CannotMap
from .parquet_footer import CannotJoin, join_files

GROUP_BYTES = 16 * 2**20
"""A row group of Parquet has about so many bytes, or GROUP_ROWS, whichever comes first."""
GROUP_ROWS = 2**17


JOIN_ROWS = 4096
"""Rows that are copied at one time when parts are joined."""


class Writer(Protocol):
    """Writes a file, a table at a time."""

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None:
        """The file is complete, but it may not be on the disk yet."""


class ParquetFile:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, use_dictionary=_worth_a_dictionary(schema))
        self._waiting: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        rows = sum(one.num_rows for one in self._waiting)
        if rows >= GROUP_ROWS or sum(one.nbytes for one in self._waiting) >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if any(table.num_rows for table in self._waiting):
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = []

    def close(self) -> None:
        self._flush()
        self._writer.close()


def _worth_a_dictionary(schema: pa.Schema) -> list[str]:
    """The columns in which values come again, by their paths in the file.

    Hardly any two numbers of vectors are equal. To look each of them up takes more time than
    all the rest of writing them.
    """
    file = pa.BufferOutputStream()
    pq.write_metadata(schema, file)
    columns = pq.read_metadata(pa.BufferReader(file.getvalue())).schema
    return [
        column.path
        for column in map(columns.column, range(len(columns)))
        if not (column.physical_type in ("FLOAT", "DOUBLE") and column.max_repetition_level)
    ]


class CsvFile:
    """A vector of fixed size has a column for each element; other lists are JSON."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pa_csv.CSVWriter(path, _flat(schema.empty_table()).schema)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(_flat(table))

    def close(self) -> None:
        self._writer.close()


class JsonlFile:
    """An object a line. What is no number in JSON, as NaN, is null."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = path.open("wb")

    def write(self, table: pa.Table) -> None:
        names = table.schema.names
        columns = [_values(column.combine_chunks()) for column in table.columns]
        for row in zip(*columns, strict=True):
            self._file.write(json_line(dict(zip(names, row, strict=True))))

    def close(self) -> None:
        self._file.close()


WRITERS: dict[str, type[Any]] = {"parquet": ParquetFile, "csv": CsvFile, "jsonl": JsonlFile}


def writable(kind: str, schema: pa.Schema) -> None:
    """Raises CannotMap for a column that files of this kind cannot hold."""
    if double := [name for name in schema.names if schema.names.count(name) > 1]:
        raise CannotMap(
            f"{double[0]!r} is a column that is kept, and one that the model gives: rename its "
            f"own by --as {double[0]}=NAME, or say by --keep which columns to keep."
        )
    if kind == "csv":
        for column in _flat(schema.empty_table()).schema:
            if pa.types.is_nested(column.type) or pa.types.is_float16(column.type):
                raise CannotMap(
                    f"a CSV file cannot hold column {column.name!r} of type {column.type}; "
                    "leave it out with --keep, or write Parquet or JSON lines."
                )


def json_line(value: Any) -> bytes:
    """A value as a line of JSON; what JSON does not know is written as a text."""
    return orjson.dumps(
        value, default=_as_text, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    )


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


def join(kind: str, parts: Sequence[Path], schema: pa.Schema, path: Path) -> None:
    """Write all parts into one file, in their order."""
    if kind == "parquet":
        if all(pq.read_schema(part).equals(schema) for part in parts):
            with suppress(CannotJoin):
                join_files(parts, path)
                return
        whole = ParquetFile(path, schema)
        for table in _read_ahead(_tables(parts)):
            whole.write(table.cast(schema))
        whole.close()
        return
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            with part.open("rb") as source:
                if kind == "csv" and number:
                    _skip_header(source)
                shutil.copyfileobj(source, file, 2**20)
    if not parts:
        WRITERS[kind](path, schema).close()


def _tables(parts: Iterable[Path]) -> Iterator[pa.Table]:
    for part in parts:
        for batch in pq.ParquetFile(part, pre_buffer=False).iter_batches(JOIN_ROWS):
            yield pa.Table.from_batches([batch])


def _read_ahead(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same tables; the next one is read while this one is written."""
    with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
        ahead = reader.submit(next, tables, None)
        while (table := ahead.result()) is not None:
            ahead = reader.submit(next, tables, None)
            yield table


def _skip_header(file: IO[bytes]) -> None:
    # A name may hold line ends, within quotes: there is an even number of those before it ends.
    quotes = 0
    while line := file.readline():
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            return


def _flat(table: pa.Table) -> pa.Table:
    """The table without lists."""
    columns: list[tuple[str, Any]] = []
    for name, column in zip(table.schema.names, table.columns, strict=True):
        column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        kind = column.type
        if pa.types.is_float16(kind):
            columns.append((name, column.cast(pa.float32())))
        elif pa.types.is_fixed_size_list(kind) and not is_list(kind.value_type):
            columns += [
                (f"{name}_{place}", pa.compute.list_element(column, place))
                for place in range(kind.list_size)
            ]
        elif is_list(kind):
            texts = [
                None if v is None else orjson.dumps(v, default=_as_text).decode()
                for v in column.to_pylist()
            ]
            columns.append((name, pa.array(texts, pa.string())))
        else:
            columns.append((name, column))
    return pa.table([column for _, column in columns], names=[name for name, _ in columns])


def _values(column: Any) -> Any:
    """A column's values as JSON is made of them; floats keep their width, and so few digits."""
    kind = column.type
    if (
        pa.types.is_fixed_size_list(kind)
        and not column.null_count
        and not is_list(kind.value_type)
        and pa.types.is_floating(kind.value_type)
    ):
        flat = column.flatten()
        if not flat.null_count:
            return _numbers(flat).reshape(len(column), kind.list_size)
    if pa.types.is_floating(kind) and not column.null_count:
        return list(_numbers(column))
    return column.to_pylist()


def _numbers(column: Any) -> np.ndarray[Any, Any]:
    numbers: np.ndarray[Any, Any] = column.to_numpy(zero_copy_only=False)
    return numbers.astype(np.float32) if numbers.dtype == np.float16 else numbers

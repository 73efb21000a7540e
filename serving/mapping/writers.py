"""Tables into files of each kind: in one go, or by writers one after the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from .columns import is_list
from .errors import CannotMap
from .parquet_footer import cut_footer, merged

GROUP_BYTES = 16 * 2**20
"""A row group of Parquet has about so many bytes, or GROUP_ROWS, whichever comes first."""
GROUP_ROWS = 2**17


class Writer(Protocol):
    """Writes to the end of a file, a table at a time."""

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None:
        """The file is complete, but it may not be on the disk yet."""

    def leave(self) -> bytes:
        """Close it for another writer to go on. Gives what `complete` wants to know of the rows."""


class ParquetFile:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        columns = _but_vectors(schema)
        self._path = path
        # Arrow does not append to Parquet. To a file of Python's it writes without asking where
        # that begins, and all places in what it writes are counted from there.
        self._file = path.open("ab")
        self._writer = pq.ParquetWriter(
            self._file, schema, use_dictionary=columns, write_statistics=columns
        )
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
        try:
            self._flush()
            self._writer.close()
        finally:
            self._file.close()

    def leave(self) -> bytes:
        self.close()
        return cut_footer(self._path)


def _but_vectors(schema: pa.Schema) -> list[str]:
    """The columns that are not of vectors, by their paths in the file.

    Hardly any two numbers of vectors are equal: to look each of them up takes more time than
    all the rest of writing them. Nor does anybody look for rows by the least of them.
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
        self._file = pa.OSFile(str(path), "ab")
        header = pa_csv.WriteOptions(include_header=self._file.tell() == 0)
        columns = _flat(schema.empty_table()).schema
        self._writer = pa_csv.CSVWriter(self._file, columns, write_options=header)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(_flat(table))

    def close(self) -> None:
        try:
            self._writer.close()
        finally:
            self._file.close()

    def leave(self) -> bytes:
        self.close()
        return b""


class JsonlFile:
    """An object a line. What is no number in JSON, as NaN, is null."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = path.open("ab")

    def write(self, table: pa.Table) -> None:
        names = table.schema.names
        columns = [_values(column.combine_chunks()) for column in table.columns]
        for row in zip(*columns, strict=True):
            self._file.write(json_line(dict(zip(names, row, strict=True))))

    def close(self) -> None:
        self._file.close()

    def leave(self) -> bytes:
        self.close()
        return b""


WRITERS: dict[str, type[Any]] = {"parquet": ParquetFile, "csv": CsvFile, "jsonl": JsonlFile}


def complete(kind: str, path: Path, notes: Sequence[bytes], starts: Sequence[int]) -> None:
    """Finish a file that writers have left.

    notes: what they gave, at least one, in their order. starts: where in the file each began.
    """
    if kind == "parquet":
        with path.open("ab") as file:
            file.write(merged(notes, starts))


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

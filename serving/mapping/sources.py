"""The table that is read: one file or a folder of them, of one kind, row after row."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from . import csv_rows, jsonl_rows, parquet_rows
from .blocks import Block
from .errors import CannotMap

KINDS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""Kinds of files by their suffix."""

SUFFIX = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl"}
"""What files that we write are called."""


def kind_of(path: Path) -> str:
    """The kind of a file, by its suffix; raises CannotMap for one that is not known."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise CannotMap(f"{path} should end in {', '.join(KINDS)}, or be a folder of such files.")
    return kind


class Source:
    """The rows of all files, in the order of their names, with the first one's columns."""

    def __init__(self, path: Path) -> None:
        """Raises CannotMap if there is nothing there that can be read."""
        self.path = path
        self.files = _files(path)
        self.kind = kind_of(self.files[0])
        try:
            schema = _READERS[self.kind].schema_of(self.files[0])
            parquet = self.files if self.kind == "parquet" else []
            self._known = sum(map(parquet_rows.rows_of, parquet)) if parquet else None
        except (pa.ArrowInvalid, OSError) as error:
            raise CannotMap(f"{path} cannot be read: {error}.") from error
        self.schema = schema if self.kind == "parquet" else plain(schema)
        """Of the first file: by its own word, or by what its first rows look like."""
        if double := [name for name, count in Counter(schema.names).items() if count > 1]:
            raise CannotMap(f"{self.files[0]} has two columns {double[0]!r}.")
        self.bytes = sum(file.stat().st_size for file in self.files)
        self._rows_read = self._bytes_read = 0

    def fingerprint(self) -> list[list[str | int]]:
        """What tells this input from another, or from itself after a change."""
        stats = [(file.name, file.stat()) for file in self.files]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]

    @property
    def rows(self) -> float | None:
        """All rows: exact for Parquet, else as what was read so far lets expect; None before."""
        if self._known is not None:
            return self._known
        if not self._bytes_read:
            return None
        return self._rows_read * max(1.0, self.bytes / self._bytes_read)

    def blocks(self, schema: pa.Schema, start: int = 0) -> Iterator[Block]:
        """The rows from number `start` on, with the columns of the schema, in blocks of any size.

        Raises CannotMap for a file that cannot be read, or is not like the first one.
        """
        first = before = 0

        def tell(bytes_read: int) -> None:
            self._bytes_read = before + bytes_read

        for file in self.files:
            try:
                for block in _READERS[self.kind].blocks(file, schema, first, start, tell):
                    first = self._rows_read = block.end
                    if block.end > start:
                        yield block.between(start, block.end)
            except (pa.ArrowInvalid, OSError) as error:
                raise CannotMap(f"{file} cannot be read: {error}.") from error
            before += file.stat().st_size
            self._bytes_read = before

    def first_block(self, schema: pa.Schema) -> Block | None:
        """Some rows to see what they are like; None if there are none."""
        return next(iter(self.blocks(schema)), None)


_READERS: dict[str, Any] = {"parquet": parquet_rows, "csv": csv_rows, "jsonl": jsonl_rows}


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise CannotMap(f"{path} does not exist; give a file or a folder of them.")
    if path.is_file():
        kind_of(path)
        return [path]
    files = sorted(
        file
        for file in path.iterdir()
        # As others do who read folders of tables: these are for something else.
        if file.is_file() and not file.name.startswith((".", "_"))
    )
    if not files:
        raise CannotMap(f"{path} holds no files.")
    if len(kinds := sorted({kind_of(file) for file in files})) > 1:
        raise CannotMap(f"{path} holds files of several kinds: {', '.join(kinds)}.")
    return files


def plain(schema: pa.Schema) -> pa.Schema:
    """The schema with dates as the texts that they were: not everything like a date is one."""
    return pa.schema(
        [
            (field.name, pa.string() if pa.types.is_temporal(field.type) else field.type)
            if not pa.types.is_null(field.type)
            else (field.name, pa.string())
            for field in schema
        ]
    )

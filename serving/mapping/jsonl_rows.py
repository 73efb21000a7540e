"""Rows of JSON lines: an object a line.

A block of lines is parsed by pyarrow at once; if it does not like one of them, all of the
block are looked at one by one, and what is wrong is set aside. Blank lines are no rows.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json as pa_json

from .blocks import Block, Rejected, unread, whole
from .casting import shown

BLOCK_BYTES = 4 * 2**20


def schema_of(path: Path) -> pa.Schema:
    """The types as the first block has them, of lines that are objects."""
    with path.open("rb") as file:
        text = _lines(file)
    try:
        schema: pa.Schema = _parsed(text, None).schema
        return schema
    except pa.ArrowInvalid:
        objects = [value for value in map(_loaded, text.splitlines()) if isinstance(value, dict)]
    names = dict.fromkeys(name for value in objects for name in value)
    return pa.schema([(name, _kind([value.get(name) for value in objects])) for name in names])


def _kind(values: list[Any]) -> pa.DataType:
    """The type of most of the values: what is of another will be set aside."""
    try:
        return pa.array(values).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        kinds = Counter(type(value) for value in values if value is not None)
        usual = kinds.most_common(1)[0][0]
        return _kind([value for value in values if type(value) is usual][:1])


def blocks(
    path: Path, schema: pa.Schema, first: int, start: int, tell: Callable[[int], None]
) -> Iterator[Block]:
    """All rows of a file, with the columns of the schema; those before `start` unread.

    first: the number of the file's first row. tell: told the bytes read so far, at times.
    """
    with path.open("rb") as file:
        while text := _lines(file):
            tell(file.tell())
            lines = [line for line in text.split(b"\n") if line.strip()]
            if first + len(lines) > start:
                yield _block(text, lines, schema, first)
            else:  # not parsed: that is what takes time
                yield unread(first, len(lines), schema)
            first += len(lines)


def _lines(file: io.BufferedReader) -> bytes:
    """Whole lines, a block of them or a little more; nothing at the end of the file."""
    return file.read(BLOCK_BYTES) + file.readline()


def _parsed(text: bytes, schema: pa.Schema | None) -> pa.Table:
    return pa_json.read_json(
        io.BytesIO(text),
        read_options=pa_json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pa_json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore" if schema else "infer"
        ),
    )


def _block(text: bytes, lines: list[bytes], schema: pa.Schema, first: int) -> Block:
    try:
        table = _parsed(text, schema).select(schema.names)
        if table.num_rows == len(lines):
            return whole(first, table)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError):
        pass
    return _one_by_one(lines, schema, first)


def _one_by_one(lines: list[bytes], schema: pa.Schema, first: int) -> Block:
    """Each line by itself: slow, and sure which one is wrong."""
    bad: dict[int, str] = {}
    values = [_loaded(line) for line in lines]
    for place, value in enumerate(values):
        if isinstance(value, orjson.JSONDecodeError):
            bad[place] = f"it is not JSON: {value}"
        elif not isinstance(value, dict):
            bad[place] = f"it is {shown(value)}, and no JSON object"
    columns: list[list[Any]] = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        cells = [None if i in bad else value.get(name) for i, value in enumerate(values)]
        columns.append(_fitting(name, cells, kind, bad))
    good = [place for place in range(len(lines)) if place not in bad]
    arrays = [
        pa.array([cells[place] for place in good], kind)
        for cells, kind in zip(columns, schema.types, strict=True)
    ]
    rejected = [
        Rejected(
            first + place,
            why,
            values[place]
            if isinstance(values[place], dict)
            else lines[place].decode(errors="replace"),
        )
        for place, why in sorted(bad.items())
    ]
    rows = first + np.array(good, dtype=np.int64)
    return Block(first, len(lines), pa.table(arrays, schema=schema), rows, rejected)


def _fitting(name: str, cells: list[Any], kind: pa.DataType, bad: dict[int, str]) -> list[Any]:
    try:
        pa.array(cells, kind)
        return cells
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        for place, cell in enumerate(cells):
            try:
                pa.array([cell], kind)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                bad.setdefault(place, f"column {name!r}: {shown(cell)} is not {kind}")
        return cells


def _loaded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return error

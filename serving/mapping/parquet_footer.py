"""A Parquet file that grows: rows that were written one after the other, under one footer.

A Parquet file is its row groups, and behind them a footer that says where in the file each of
their columns is. What is appended to a file by a writer of its own has a footer of its own: that
is cut off and kept until the file is complete. Then one footer is made of all: the places moved
by what lies before them, everything else as it was. No row is unpacked, or copied. Footers are
values of Thrift's compact protocol, of which this reads and writes what there is, known to us or
not.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

MAGIC = b"PAR1"

# Types of the compact protocol.
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET = range(1, 11)
STRUCT = 12
INTEGERS = (I16, I32, I64)

# Fields of Parquet's structures, by their numbers.
SCHEMA, ROWS, GROUPS = 2, 3, 4  # of the footer
COLUMNS, GROUP_OFFSET, ORDINAL = 1, 5, 7  # of a row group
CHUNK_PLACES, META = (2, 4, 6), 3  # of a column: itself, its indexes; its description
META_PLACES = (9, 10, 11, 14)  # of the description: pages, index, dictionary, bloom filter
ENCRYPTED = (8, 9)


class BadFooter(Exception):
    """It is none, or not as we know them, or of other columns than the ones before it."""


class Field(NamedTuple):
    id: int
    kind: int
    value: Any


Struct = list[Field]


@dataclass(frozen=True)
class Items:
    """A list or a set."""

    kind: int
    values: list[Any]


def cut_footer(path: Path) -> bytes:
    """The footer of a file, which is cut off there. Raises BadFooter and OSError."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != MAGIC or length > size - 12:
            raise BadFooter(f"{path.name} is no plain Parquet file")
        file.seek(size - 8 - length)
        footer = file.read(length)
        file.truncate(size - 8 - length)
    return footer


def alike(one: bytes, other: bytes) -> bool:
    """Whether what two footers describe may be in one file. Raises BadFooter."""
    columns = [_by_id(_parsed(footer)).get(SCHEMA) for footer in (one, other)]
    return columns[0] == columns[1]


def merged(footers: Sequence[bytes], starts: Sequence[int]) -> bytes:
    """The end of a file: one footer of all, its length, and the last bytes. Raises BadFooter.

    starts: where in the file what each of them describes begins.
    """
    parsed = [_parsed(footer) for footer in footers]
    if not parsed:
        raise BadFooter("there is no footer")
    groups: list[Struct] = []
    rows = 0
    for footer, start in zip(parsed, starts, strict=True):
        fields = _by_id(footer)
        if fields.get(SCHEMA) != _by_id(parsed[0]).get(SCHEMA):
            raise BadFooter("the columns are not the same everywhere")
        try:
            for group in _value(fields, GROUPS).values:
                groups.append(_moved_group(group, start, len(groups)))
            rows += _value(fields, ROWS)
        except (TypeError, AttributeError) as error:  # what should be a number is none
            raise BadFooter("a footer is broken") from error
    whole = [
        *(one for one in parsed[0] if one.id not in (ROWS, GROUPS)),
        Field(ROWS, I64, rows),
        Field(GROUPS, LIST, Items(STRUCT, groups)),
    ]
    written = bytearray()
    _write_struct(written, sorted(whole, key=lambda one: one.id))
    return bytes(written) + len(written).to_bytes(4, "little") + MAGIC


# --- what is known of the structures


def _parsed(footer: bytes) -> Struct:
    try:
        return _Reader(footer).struct()
    except (IndexError, RecursionError) as error:
        raise BadFooter("a footer is broken") from error


def _by_id(struct: Struct) -> dict[int, Field]:
    return {field.id: field for field in struct}


def _value(fields: dict[int, Field], id_: int) -> Any:
    if id_ not in fields:
        raise BadFooter(f"a footer lacks field {id_}")
    return fields[id_].value


def _moved_group(group: Struct, moved: int, number: int) -> Struct:
    made = []
    for field in group:
        if field.id == COLUMNS:
            columns = [_moved_column(column, moved) for column in field.value.values]
            field = field._replace(value=Items(STRUCT, columns))
        elif field.id == GROUP_OFFSET and field.value:
            field = field._replace(value=field.value + moved)
        elif field.id == ORDINAL:
            if number >= 2**15:  # it has 16 bits, and need not be there
                continue
            field = field._replace(value=number)
        made.append(field)
    return made


def _moved_column(column: Struct, moved: int) -> Struct:
    if any(field.id in ENCRYPTED for field in column):
        raise BadFooter("a column is encrypted")
    return [
        field._replace(value=_moved(field.value, META_PLACES, moved))
        if field.id == META
        else _moved([field], CHUNK_PLACES, moved)[0]
        for field in column
    ]


def _moved(struct: Struct, places: tuple[int, ...], moved: int) -> Struct:
    """0 is no place: that is where the file begins."""
    return [
        field._replace(value=field.value + moved) if field.id in places and field.value else field
        for field in struct
    ]


# --- Thrift's compact protocol


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def struct(self) -> Struct:
        fields: Struct = []
        id_ = 0
        while header := self._byte():
            delta, kind = header >> 4, header & 15
            id_ = id_ + delta if delta else self._zigzag()
            fields.append(Field(id_, kind, None if kind in (TRUE, FALSE) else self._any(kind)))
        return fields

    def _any(self, kind: int) -> Any:
        if kind in INTEGERS:
            return self._zigzag()
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            header = self._byte()
            count = header >> 4
            if count == 15:
                count = self._varint()
            of = header & 15
            return Items(of, [self._any(of) for _ in range(count)])
        if kind in (TRUE, FALSE, BYTE):  # within a list, a truth is a byte too
            return self._bytes(1)
        if kind == DOUBLE:
            return self._bytes(8)
        raise BadFooter(f"a footer has a value of kind {kind}")

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _bytes(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._content):
            raise IndexError
        return self._content[self._at - count : self._at]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)


def _write_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for field in struct:
        delta = field.id - before
        if 0 < delta < 16:
            out.append(delta << 4 | field.kind)
        else:
            out.append(field.kind)
            _write_zigzag(out, field.id)
        before = field.id
        if field.kind not in (TRUE, FALSE):
            _write_any(out, field.kind, field.value)
    out.append(0)


def _write_any(out: bytearray, kind: int, value: Any) -> None:
    if kind in INTEGERS:
        _write_zigzag(out, value)
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, SET):
        count = len(value.values)
        out.append(min(count, 15) << 4 | value.kind)
        if count >= 15:
            _write_varint(out, count)
        for one in value.values:
            _write_any(out, value.kind, one)
    else:
        out += value


def _write_varint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _write_zigzag(out: bytearray, value: int) -> None:
    _write_varint(out, value * 2 if value >= 0 else -value * 2 - 1)

"""Several Parquet files into one, without unpacking and packing their rows again.

A Parquet file is its row groups, and behind them a footer that says where in the file each of
their columns is. So the row groups are copied as they are, and one footer is made of all: the
places moved by what now lies before them, everything else as it was. Footers are values of
Thrift's compact protocol, of which this reads and writes what there is, known to us or not.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

MAGIC = b"PAR1"
COPIED = 2**22
"""Bytes that are copied at one time."""

# Types of the compact protocol.
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET = range(1, 11)
STRUCT = 12
INTEGERS = (I16, I32, I64)

# Fields of Parquet's structures, by their numbers.
SCHEMA, ROWS, GROUPS, KEY_VALUES, ORDERS = 2, 3, 4, 5, 7  # of the footer
COLUMNS, GROUP_OFFSET, ORDINAL = 1, 5, 7  # of a row group
CHUNK_PLACES, META = (2, 4, 6), 3  # of a column: itself, its indexes; its description
META_PLACES = (9, 10, 11, 14)  # of the description: pages, index, dictionary, bloom filter
ENCRYPTED = (8, 9)


class CannotJoin(Exception):
    """The files are not alike, or not as we know them. Nothing is wrong with their rows."""


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


def join_files(parts: Sequence[Path], path: Path) -> None:
    """All row groups of the parts in one file. Raises CannotJoin, and OSError."""
    footers = [_footer(part) for part in parts]
    if not footers:
        raise CannotJoin("there is no file")
    first = dict(_by_id(footers[0][0]))
    groups: list[Struct] = []
    rows = 0
    with path.open("wb") as whole:
        whole.write(MAGIC)
        for part, (footer, end) in zip(parts, footers, strict=True):
            fields = _by_id(footer)
            if any(fields.get(one) != first.get(one) for one in (SCHEMA, KEY_VALUES, ORDERS)):
                raise CannotJoin(f"{part.name} has other columns")
            moved = whole.tell() - len(MAGIC)
            try:
                for group in _value(fields, GROUPS).values:
                    groups.append(_moved_group(group, moved, len(groups)))
                rows += _value(fields, ROWS)
            except (TypeError, AttributeError) as error:  # what should be a number is none
                raise CannotJoin(f"{part.name} has a broken footer") from error
            with part.open("rb") as source:
                source.seek(len(MAGIC))
                _copy(source, whole, end - len(MAGIC))
        footer = [
            *(one for one in footers[0][0] if one.id not in (ROWS, GROUPS)),
            Field(ROWS, I64, rows),
            Field(GROUPS, LIST, Items(STRUCT, groups)),
        ]
        written = bytearray()
        _write_struct(written, sorted(footer, key=lambda one: one.id))
        whole.write(written + len(written).to_bytes(4, "little") + MAGIC)


def _footer(path: Path) -> tuple[Struct, int]:
    """A file's footer, and where it begins."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != MAGIC or length > size - 12:
            raise CannotJoin(f"{path.name} is no plain Parquet file")
        file.seek(size - 8 - length)
        content = file.read(length)
    try:
        return _Reader(content).struct(), size - 8 - length
    except (IndexError, RecursionError) as error:
        raise CannotJoin(f"{path.name} has a broken footer") from error


def _copy(source: IO[bytes], whole: IO[bytes], size: int) -> None:
    while size:
        piece = source.read(min(size, COPIED))
        if not piece:
            raise CannotJoin("a part is shorter than it was")
        whole.write(piece)
        size -= len(piece)


# --- what is known of the structures


def _by_id(struct: Struct) -> dict[int, Field]:
    return {field.id: field for field in struct}


def _value(fields: dict[int, Field], id_: int) -> Any:
    if id_ not in fields:
        raise CannotJoin(f"a footer lacks field {id_}")
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
        raise CannotJoin("a column is encrypted")
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
        raise CannotJoin(f"a footer has a value of kind {kind}")

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

"""A part of what a run has written: rows of some consecutive blocks, which count together."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .blocks import Rejected
from .errors import CannotMap
from .mapper import Mapped
from .parquet_footer import alike
from .writers import WRITERS, Writer, json_line


@dataclass(frozen=True)
class Sealed:
    """A part that is complete."""

    first: int
    """Its first row's number."""
    end: int
    """The number of the row behind its last one."""
    rows: int
    """Rows that were written."""
    rejected: int
    bytes: int
    """Of its file; or of the file of all rows, up to its end."""


class Part:
    """A part that is being written."""

    def __init__(
        self, kind: str, target: Path, rows: Path | None, first: Mapped, now: float
    ) -> None:
        """target: its file, if it has one. rows: else the file that it goes to the end of."""
        self.began, self.size = now, 0
        self._target, self._alone = target, rows is None
        self._file = rows or _temporary(target)
        self._at = self._file.stat().st_size if self._file.exists() else 0
        self._writer: Writer = WRITERS[kind](self._file, first.table.schema)
        self._first = self._end = first.block.first
        self._rows = 0
        self._rejected: list[Rejected] = []

    def write(self, mapped: Mapped) -> None:
        self._writer.write(mapped.table)
        self._end = mapped.block.end
        self._rows += mapped.table.num_rows
        self._rejected += mapped.rejected
        self.size += mapped.table.nbytes + sum(len(str(one.values)) for one in mapped.rejected)

    def drop(self) -> None:
        with suppress(Exception):  # it is in its way because something else went wrong
            self._writer.close()
        if self._alone:
            self._file.unlink(missing_ok=True)
        else:
            os.truncate(self._file, self._at)

    def seal(self, first: bytes | None) -> tuple[Sealed, bytes]:
        """Also gives the note that its writer left. first: that of the first part."""
        note = b""
        if self._alone:
            self._writer.close()
            to_disk(self._file)
            self._file.replace(self._target)
        else:
            note = self._writer.leave()
            to_disk(self._file)
            if note:
                if first is not None and not alike(first, note):
                    raise CannotMap(
                        f"what another version of pyarrow has written to {self._file} cannot be "
                        "gone on with: say --overwrite, or write elsewhere."
                    )
                write_whole(self._target.with_suffix(".footer"), note)
        if self._rejected:
            lines = (
                json_line({"row": one.row, "reason": one.reason, "input": one.values})
                for one in self._rejected
            )
            write_whole(self._target.with_suffix(".rejected"), b"".join(lines))
        size = (self._target if self._alone else self._file).stat().st_size
        sealed = Sealed(self._first, self._end, self._rows, len(self._rejected), size)
        write_whole(self._target.with_suffix(".json"), json.dumps(asdict(sealed)).encode())
        return sealed, note


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def write_whole(path: Path, content: bytes) -> None:
    """All of the file or nothing, and on the disk."""
    temporary = _temporary(path)
    temporary.write_bytes(content)
    to_disk(temporary)
    temporary.replace(path)
    to_disk(path.parent)


def to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

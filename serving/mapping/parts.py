"""What a run has written so far, so that it is never lost and never written twice.

    OUTPUT.parts/manifest.json          which run this is, and its plan
    OUTPUT.parts/part-00042.parquet     the rows of some consecutive blocks
    OUTPUT.parts/part-00042.rejected    those of them that were set aside
    OUTPUT.parts/part-00042.json        which rows those were; a part counts once this is there

Each file appears whole, under its name, or not at all; the last one of a part seals it. A run
that goes on counts the sealed parts, throws away the rest, and begins behind them. At the end
the parts become OUTPUT in one step, and then only is the folder removed.
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from .blocks import Rejected
from .errors import CannotMap
from .mapper import Mapped
from .plan import Plan
from .sources import SUFFIX
from .writers import WRITERS, Writer, join, json_line

try:
    import fcntl
except ImportError:  # Windows: two runs into one output are not kept apart there
    fcntl = None  # type: ignore[assignment]

PART_BYTES = 256 * 2**20
"""About the bytes of a part, before they are compressed, at most."""
FIRST_S, LAST_S, SHARE = 1.0, 60.0, 0.05
"""A part is sealed after so long: at first often, later once in this share of the whole time,
so that a kill costs little of what was done, and long runs have few parts."""


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


class Output:
    """Where a run writes, and what is there of it."""

    def __init__(self, path: Path, kind: str, *, folder: bool) -> None:
        """folder: whether the output is a folder of parts, not one file."""
        self.path, self.kind, self.folder = path, kind, folder
        self.work = path.with_name(path.name + ".parts")
        self.rejected_path = path.with_name(path.name + ".rejected.jsonl")
        self.report_path = path.with_name(path.name + ".map.json")
        self.sealed: list[Sealed] = []
        self.plan: Plan | None = None
        self._lock: IO[bytes] | None = None
        self._part: _Part | None = None

    @property
    def next_row(self) -> int:
        """The first row that is not in a sealed part."""
        return self.sealed[-1].end if self.sealed else 0

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.sealed)

    @property
    def rejected(self) -> int:
        return sum(part.rejected for part in self.sealed)

    # --- at the beginning

    def open(self, identity: Mapping[str, Any], *, overwrite: bool = False) -> bool:
        """Whether the run is to be done, or gone on with; False if its output is complete.

        identity: what makes this run this one. Raises CannotMap if something else is there.
        overwrite: then that is removed, an output that is there in the end.
        """
        identity = json.loads(json.dumps(identity))
        if not self.path.parent.is_dir():
            raise CannotMap(f"{self.path.parent} does not exist; make the folder first.")
        self._remove(self.work.with_name(self.work.name + ".done"))
        if not self.work.exists() and self.path.exists() and not overwrite:
            report = _read(self.report_path)
            if report is not None and report.get("run") == identity:
                self.sealed = [Sealed(0, report["end"], report["rows"], report["rejected"], 0)]
                return False
            raise CannotMap(
                f"{self.path} is there already; remove it, say --overwrite, or write elsewhere."
            )
        self.work.mkdir(exist_ok=True)
        self._take_lock()
        try:
            self._take_up(identity, overwrite)
        except BaseException:
            self._unlock()
            raise
        self._identity = identity
        return True

    def _take_up(self, identity: Mapping[str, Any], overwrite: bool) -> None:
        """Find out what is done already."""
        manifest = _read(self.work / "manifest.json")
        if manifest is not None and manifest.get("run") != identity:
            if not overwrite:
                raise CannotMap(self._differs(manifest.get("run") or {}, identity))
            manifest = None
        if manifest is not None:
            try:
                self.plan = Plan.of_values(manifest["plan"])
            except (KeyError, TypeError, ValueError):
                raise CannotMap(
                    f"{self.work} is of another version of Jitney; remove it to begin again."
                ) from None
            self.sealed = self._count()
        self._tidy()

    def begin(self, plan: Plan) -> None:
        """Write down how the run is done. Once, before its first row."""
        self.plan = plan
        values = {"run": self._identity, "plan": plan.as_values()}
        _write(self.work / "manifest.json", json.dumps(values, indent=1).encode())

    def _differs(self, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
        keys = [key for key in ours if theirs.get(key) != ours[key]]
        what = " and ".join(WORDS.get(key, key) for key in keys) or "something"
        verb = "differs" if len(keys) == 1 else "differ"
        return (
            f"{self.work} holds what another run has done, and does not mix with this one: {what} "
            f"{verb}. Remove it, say --overwrite, or write elsewhere."
        )

    def _take_lock(self) -> None:
        self._lock = (self.work / "lock").open("wb")
        if fcntl is not None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._unlock()
                raise CannotMap(f"another run writes {self.path} just now.") from None

    def _count(self) -> list[Sealed]:
        sealed: list[Sealed] = []
        while (values := _read(self._name(len(sealed), ".json"))) is not None:
            try:
                part = Sealed(**values)
                size = self._name(len(sealed), SUFFIX[self.kind]).stat().st_size
            except (TypeError, OSError):
                break
            if size != part.bytes or part.first != (sealed[-1].end if sealed else 0):
                break
            sealed.append(part)
        return sealed

    def _tidy(self) -> None:
        """Remove whatever is not of a sealed part."""
        names = {"manifest.json", "lock"} if self.plan else {"lock"}
        for number in range(len(self.sealed)):
            for suffix in (SUFFIX[self.kind], ".rejected", ".json"):
                names.add(self._name(number, suffix).name)
        for path in list(self.work.iterdir()):
            if path.name not in names:
                self._remove(path)

    def _name(self, number: int, suffix: str) -> Path:
        return self.work / f"part-{number:05}{suffix}"

    # --- on the way

    def write(self, mapped: Mapped, now: float, began: float) -> None:
        """Write what came of the next block. It is safe once its part is sealed.

        now, began: this instant and that of the run's begin, of any clock.
        """
        if self._part is None:
            target = self._name(len(self.sealed), SUFFIX[self.kind])
            self._part = _Part(self.kind, target, mapped, now)
        part = self._part
        try:
            part.write(mapped)
        except BaseException:
            # Half a block may be in it, which must never count.
            self._part = None
            part.drop()
            raise
        due_s = min(LAST_S, max(FIRST_S, SHARE * (now - began)))
        if now - part.began >= due_s or part.size >= PART_BYTES:
            self.seal()

    def seal(self) -> None:
        """Let what was written so far count, whatever happens."""
        part, self._part = self._part, None
        if part is not None:
            self.sealed.append(part.seal())
            # Left to itself, arrow's allocator keeps what was once needed.
            pa.default_memory_pool().release_unused()

    # --- at the end

    def finish(self, schema: pa.Schema) -> None:
        """All rows are there: make OUTPUT of the parts, in one step. May be done again."""
        self.seal()
        numbers = range(len(self.sealed))
        parts = [self._name(number, SUFFIX[self.kind]) for number in numbers]
        self._join_rejected([self._name(number, ".rejected") for number in numbers])
        whole = self.work / "whole.tmp"
        self._remove(whole)
        if self.folder:
            self._as_folder(parts, schema, whole)
        else:
            join(self.kind, parts, schema, whole)
            _to_disk(whole)
        totals = {"end": self.next_row, "rows": self.rows, "rejected": self.rejected}
        assert self.plan is not None
        report = {**totals, "run": self._identity, "plan": self.plan.as_values()}
        _write(self.report_path, json.dumps(report, indent=1).encode())
        if self.path.is_dir():  # a folder cannot take the place of one that holds something
            self._remove(self.work / "old.tmp")
            self.path.rename(self.work / "old.tmp")
        whole.replace(self.path)
        _to_disk(self.path.parent)
        done = self.work.with_name(self.work.name + ".done")
        self.work.rename(done)
        self.close()
        self._remove(done)

    def _join_rejected(self, parts: list[Path]) -> None:
        temporary = self.work / "rejected.tmp"
        with temporary.open("wb") as file:
            for part in filter(Path.exists, parts):
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file)
        if temporary.stat().st_size:
            _to_disk(temporary)
            temporary.replace(self.rejected_path)
        else:
            self.rejected_path.unlink(missing_ok=True)  # of an earlier run that was overwritten

    def _as_folder(self, parts: list[Path], schema: pa.Schema, whole: Path) -> None:
        whole.mkdir()
        for part in parts:
            # The parts stay where they are, in case that this is not the end yet.
            try:
                os.link(part, whole / part.name)
            except OSError:
                shutil.copyfile(part, whole / part.name)
        if not parts:
            WRITERS[self.kind](whole / f"part-00000{SUFFIX[self.kind]}", schema).close()

    def close(self) -> None:
        """Let others write here. An unsealed part is lost; a folder without any goes."""
        if self._lock is not None:
            if self.work.exists() and not self.sealed and self._part is None:
                self._remove(self.work)
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @staticmethod
    def _remove(path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


WORDS = {
    "model": "the model",
    "input": "the input",
    "columns": "what fills the model's inputs",
    "keep": "what is kept",
    "outputs": "what is made of the model's outputs",
    "kind": "the kind of output",
}


class _Part:
    """A part that is being written."""

    def __init__(self, kind: str, target: Path, first: Mapped, now: float) -> None:
        self.began, self.size = now, 0
        self._target, self._temporary = target, _temporary(target)
        self._writer: Writer = WRITERS[kind](self._temporary, first.table.schema)
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
        self._temporary.unlink(missing_ok=True)

    def seal(self) -> Sealed:
        self._writer.close()
        _to_disk(self._temporary)
        self._temporary.replace(self._target)
        if self._rejected:
            lines = (
                json_line({"row": one.row, "reason": one.reason, "input": one.values})
                for one in self._rejected
            )
            _write(self._target.with_suffix(".rejected"), b"".join(lines))
        size = self._target.stat().st_size
        sealed = Sealed(self._first, self._end, self._rows, len(self._rejected), size)
        _write(self._target.with_suffix(".json"), json.dumps(asdict(sealed)).encode())
        return sealed


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        values = json.loads(path.read_bytes())
        if isinstance(values, dict):
            return values
    return None


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _write(path: Path, content: bytes) -> None:
    """All of the file or nothing, and on the disk."""
    temporary = _temporary(path)
    temporary.write_bytes(content)
    _to_disk(temporary)
    temporary.replace(path)
    _to_disk(path.parent)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

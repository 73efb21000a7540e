"""What a run has written so far, so that it is never lost and never written twice.

    OUTPUT.parts/manifest.json          which run this is, and its plan
    OUTPUT.parts/rows.parquet           all rows so far: of one part behind the other
    OUTPUT.parts/part-00042.footer      what is to be known of a part's rows, once all are there
    OUTPUT.parts/part-00042.rejected    rows that were set aside
    OUTPUT.parts/part-00042.json        which rows those were; a part counts once this is there

The last file of a part seals it, and each of its files appears whole, under its name, or not at
all. A run that goes on counts the sealed parts, throws away the rest, also what is behind them in
the file of rows, and goes on from there. At the end that file becomes OUTPUT in one step: no row
is written twice. An OUTPUT that is a folder has a file for each part, part-00042.parquet.
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from .errors import CannotMap
from .mapper import Mapped
from .part import Part, Sealed, to_disk, write_whole
from .plan import Plan
from .sources import SUFFIX
from .writers import WRITERS, complete

try:
    import fcntl
except ImportError:  # Windows: two runs into one output are not kept apart there
    fcntl = None  # type: ignore[assignment]

PART_BYTES = 256 * 2**20
"""About the bytes of a part, before they are compressed, at most."""
LAYOUT = 2
"""Of the folder; another one is of another version."""
FIRST_S, LAST_S, SHARE = 1.0, 60.0, 0.05
"""A part is sealed after so long: at first often, later once in this share of the whole time,
so that a kill costs little of what was done, and long runs have few parts."""


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
        self._file = self.work / f"rows{SUFFIX[kind]}"
        self._lock: IO[bytes] | None = None
        self._part: Part | None = None
        self._notes: list[bytes] = []
        """Of the sealed parts that are in one file, what completes it."""

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
            if self._is_complete(identity):
                return False
            raise CannotMap(
                f"{self.path} is there already; remove it, say --overwrite, or write elsewhere."
            )
        self.work.mkdir(exist_ok=True)
        self._take_lock()
        try:
            if not overwrite and self._was_moved() and self._is_complete(identity):
                self._put_away()
                return False
            self._take_up(identity, overwrite)
        except BaseException:
            self._unlock()
            raise
        self._identity = identity
        return True

    def _is_complete(self, identity: Mapping[str, Any]) -> bool:
        """Whether the output is this run's; what it has is told then."""
        report = _read(self.report_path)
        if report is None or report.get("run") != identity or not self.path.exists():
            return False
        self.sealed = [Sealed(0, report["end"], report["rows"], report["rejected"], 0)]
        return True

    def _was_moved(self) -> bool:
        """Whether a run was killed when nothing was left to do but to remove its folder."""
        return not self.folder and self._name(0, ".json").exists() and not self._file.exists()

    def _take_up(self, identity: Mapping[str, Any], overwrite: bool) -> None:
        """Find out what is done already."""
        manifest = _read(self.work / "manifest.json")
        if manifest is not None and manifest.get("run") != identity:
            if not overwrite:
                raise CannotMap(self._differs(manifest.get("run") or {}, identity))
            manifest = None
        if manifest is not None:
            try:
                if manifest["layout"] != LAYOUT:
                    raise ValueError
                self.plan = Plan.of_values(manifest["plan"])
            except (KeyError, TypeError, ValueError):
                if not overwrite:
                    raise CannotMap(
                        f"{self.work} is of another version of Jitney; remove it to begin again."
                    ) from None
            else:
                self.sealed = self._count()
        self._tidy()
        if self.sealed and not self.folder:
            os.truncate(self._file, self.sealed[-1].bytes)

    def begin(self, plan: Plan) -> None:
        """Write down how the run is done. Once, before its first row."""
        self.plan = plan
        values = {"layout": LAYOUT, "run": self._identity, "plan": plan.as_values()}
        write_whole(self.work / "manifest.json", json.dumps(values, indent=1).encode())

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
            number, note = len(sealed), b""
            try:
                part = Sealed(**values)
                if self.folder:
                    there = self._name(number, SUFFIX[self.kind]).stat().st_size == part.bytes
                else:
                    there = self._file.stat().st_size >= part.bytes
                    if self.kind == "parquet":
                        note = self._name(number, ".footer").read_bytes()
            except (TypeError, OSError):
                break
            if not there or part.first != (sealed[-1].end if sealed else 0):
                break
            sealed.append(part)
            self._notes.append(note)
        return sealed

    def _tidy(self) -> None:
        """Remove whatever is not of a sealed part."""
        names = {"manifest.json", "lock"} if self.plan else {"lock"}
        if self.sealed:
            names.add(self._file.name)
        for number in range(len(self.sealed)):
            for suffix in (SUFFIX[self.kind], ".footer", ".rejected", ".json"):
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
            rows = None if self.folder else self._file
            self._part = Part(self.kind, target, rows, mapped, now)
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
            sealed, note = part.seal(self._notes[0] if self._notes else None)
            self.sealed.append(sealed)
            self._notes.append(note)
            # Left to itself, arrow's allocator keeps what was once needed.
            pa.default_memory_pool().release_unused()

    # --- at the end

    def finish(self, schema: pa.Schema) -> None:
        """All rows are there: make OUTPUT of the parts, in one step. May be done again."""
        self.seal()
        numbers = range(len(self.sealed))
        self._join_rejected([self._name(number, ".rejected") for number in numbers])
        if self.folder:
            whole = self.work / "whole.tmp"
            self._remove(whole)
            parts = [self._name(number, SUFFIX[self.kind]) for number in numbers]
            self._as_folder(parts, schema, whole)
        else:
            whole = self._file
            if self.sealed:
                ends = [part.bytes for part in self.sealed]
                complete(self.kind, whole, self._notes, [0, *ends[:-1]])
            else:
                self._remove(whole)
                WRITERS[self.kind](whole, schema).close()
            to_disk(whole)
        totals = {"end": self.next_row, "rows": self.rows, "rejected": self.rejected}
        assert self.plan is not None
        report = {**totals, "run": self._identity, "plan": self.plan.as_values()}
        write_whole(self.report_path, json.dumps(report, indent=1).encode())
        if self.path.is_dir():  # a folder cannot take the place of one that holds something
            self._remove(self.work / "old.tmp")
            self.path.rename(self.work / "old.tmp")
        whole.replace(self.path)
        to_disk(self.path.parent)
        self._put_away()

    def _put_away(self) -> None:
        """Nothing is left to do. The folder goes, at first by its name."""
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
            to_disk(temporary)
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
        if self._part is not None:
            self._part.drop()
            self._part = None
        if self._lock is not None:
            if self.work.exists() and not self.sealed:
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


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        values = json.loads(path.read_bytes())
        if isinstance(values, dict):
            return values
    return None

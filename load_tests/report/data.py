"""The records that measurements leave, and where they are.

What was measured here and now is in load_tests/out/, and is taken before what is kept with the
code in load_tests/report/data/.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEPT = HERE / "data"
OUT = HERE.parent / "out"

MADE_BY = {"peers": "make bench-peers", "text": "make bench-text", "soak": "make soak"}
"""Each kind of record, a file of that name, and the command that makes it."""

FORMATS = {"peers": 2, "text": 1, "soak": 1}


@dataclass(frozen=True)
class Record:
    """A record and the file that it was read from."""

    kind: str
    path: Path
    values: dict[str, Any]


class Unreadable(Exception):
    """A file is there, but is not what its name says."""


def find(kind: str, folders: Sequence[Path] = (OUT, KEPT)) -> Record | None:
    """From the first folder that has one. Raises Unreadable.

    A record of an older make is as good as none: the command makes a new one.
    """
    for folder in folders:
        path = folder / f"{kind}.json"
        if not path.is_file():
            continue
        try:
            values = json.loads(path.read_text())
        except ValueError as error:
            raise Unreadable(
                f"{path} is not JSON: {error}; make it anew: {MADE_BY[kind]}"
            ) from error
        if isinstance(values, dict) and values.get("format") == FORMATS[kind]:
            return Record(kind, path, values)
    return None


def keep(out: Path = OUT, kept: Path = KEPT) -> list[str]:
    """Copy what was measured to where it is kept; the kinds that were. Raises Unreadable."""
    copied = []
    for kind in MADE_BY:
        if find(kind, [out]):
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(out / f"{kind}.json", kept / f"{kind}.json")
            copied.append(kind)
    return copied

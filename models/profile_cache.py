"""Profiles of earlier starts, in files, so that a second start need not measure.

A file's name is a hash of all that a profile depends on. The files are only ever a
shortcut: one that cannot be read, written or believed is as if it were not there.
"""

import hashlib
import json
import logging
import math
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .machine import cpu_model
from .onnx_runtime import VERSION as ENGINE_VERSION
from .profile import Profile
from .proof import Proof
from .repository import PIPELINE_FILE, TOKENIZER_FILE, ModelSource

FORMAT = 1
"""Counted up whenever an older profile must not be used any more."""
MAX_FILES = 256

logger = logging.getLogger(__name__)


def profile_key(
    source: ModelSource, *, cores: int, budget_s: float, crowded: bool = False
) -> Mapping[str, Any]:
    """All that a profile depends on. Raises OSError if a file cannot be read."""
    config = source.config
    beside = {name: source.beside(name) for name in (PIPELINE_FILE, TOKENIZER_FILE)}
    return {
        "format": FORMAT,
        "model": _digest(source.path),
        "beside": {name: _digest(path) for name, path in beside.items() if path},
        "engine": ENGINE_VERSION,
        "cpu": cpu_model(),
        "cores": cores,
        "crowded": crowded,
        "budget_s": float(budget_s),
        "threads": config.threads,
        "batching": config.batching,
        "max_batch_rows": config.max_batch_rows,
        # By their words: an example may hold dates, which JSON has not.
        "example": repr(sorted(config.example.items())),
        "text": repr(config.text),
    }


def default_folder() -> Path | None:
    """`jitney` in the user's folder for caches; None if there is no such user."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return base / "jitney"


@dataclass(frozen=True)
class ProfileCache:
    """The files in one folder, which need not be there; None: no cache at all."""

    folder: Path | None

    def read(self, key: Mapping[str, Any]) -> Profile | None:
        """The profile for this key, if there is one to be believed."""
        path = self._path(key)
        if path is None:
            return None
        try:
            values = json.loads(path.read_bytes())
            if values["key"] != key:
                raise ValueError("it is for something else")
            profile = _profile(values["profile"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            logger.debug("%s is ignored: %s", path, error)
            return None
        with suppress(OSError):
            os.utime(path)  # the least used is dropped first
        return profile

    def write(self, key: Mapping[str, Any], profile: Profile) -> None:
        """Keep a profile. Does nothing where nothing can be written."""
        path = self._path(key)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, json.dumps({"key": key, "profile": asdict(profile)}, indent=1))
            self._drop_oldest()
        except OSError as error:
            logger.debug("%s cannot be written: %s", path, error)

    def _path(self, key: Mapping[str, Any]) -> Path | None:
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        return self.folder / f"{name}.json" if self.folder else None

    def _drop_oldest(self) -> None:
        assert self.folder is not None
        # What was half written when a process was killed counts too.
        files = [*self.folder.glob("*.json"), *self.folder.glob("*.tmp")]
        ages: list[tuple[float, Path]] = []
        for file in files:
            with suppress(OSError):  # another process has dropped it
                ages.append((file.stat().st_mtime, file))
        for _, file in sorted(ages)[: max(0, len(ages) - MAX_FILES)]:
            file.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, text: str) -> None:
    """Write all of the file or nothing, whoever else writes or reads it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _profile(values: Mapping[str, Any]) -> Profile:
    """A profile from a file; raises ValueError, TypeError or KeyError for what is none."""
    proof = values["proof"]
    batches, says, difference = proof["batches"], proof["says"], proof["difference"]
    if not isinstance(batches, bool) or not isinstance(says, str):
        raise TypeError("the proof is of another kind")
    samples = tuple(
        (_count(rows), _count(length, least=0), _seconds(run_s))
        for rows, length, run_s in values["samples"]
    )
    if not samples:
        raise ValueError("it has no samples")
    return Profile(
        samples,
        _count(values["threads"]),
        _count(values["slots"]),
        Proof(batches, says, float(difference)),
        _count(values["max_rows"]),
    )


def _count(value: Any, least: int = 1) -> int:
    if type(value) is not int or value < least:
        raise ValueError(f"{value!r} is no count")
    return value


def _seconds(value: Any) -> float:
    if type(value) is not float or not 0 < value < math.inf:
        raise ValueError(f"{value!r} is no time")
    return value

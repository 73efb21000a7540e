"""`--watch`: what is served follows what is on the disk.

The system tells when something changes (inotify, through the package watchfiles), and only
that something did: what it was is found out by comparing every model's files with those that
it was loaded from. So it does not matter how a change is made, by writing, renaming or turning
a link, and one that was missed is made good with the next.
"""

import asyncio
import glob
import logging
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from batching import BatchingError
from models import ZOO, ModelError, places

from .engine import Engine

logger = logging.getLogger(__name__)

QUIET_MS = 500
"""A change is looked at when nothing has changed for so long: files are copied in pieces."""
LONGEST_MS = 60_000
"""It is looked at then in any case."""

Stamp = frozenset[tuple[str, int, int, int, int]]
"""The files that a model is made of, and what changes with each: device, inode, size, time."""


class CannotWatch(Exception):
    """The package for it is missing. The message is for whoever starts the server."""


def look_for_watchfiles() -> None:
    """Raise CannotWatch now rather than later."""
    try:
        import watchfiles
    except ImportError as error:
        raise CannotWatch(
            "--watch needs a package that is not there: pip install 'jitney[watch]'"
        ) from error
    # It tells of every change that it hears of; we tell what is done about it.
    logging.getLogger(watchfiles.__name__).setLevel(logging.WARNING)


@asynccontextmanager
async def watching(engine: Engine) -> AsyncIterator[None]:
    """Keep the engine's models as their files are. Raises CannotWatch."""
    look_for_watchfiles()
    watcher = Watcher(engine)
    task = asyncio.create_task(watcher.run(), name="watch the models")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Watcher:
    """Compares, and changes what is served."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._paths = tuple(engine.settings.models) or (ZOO,)
        self._changed = asyncio.Event()
        # Before anything is loaded: what changes while it is will be seen.
        self._stamps = stamps(self._paths)

    async def run(self) -> None:
        """For ever. If the system cannot tell of changes, that is logged, and serving goes on."""
        try:
            while True:
                await self._run_while_links_stand()
        except Exception as error:
            logger.error("--watch has ended, and changes are not seen any more: %s", error)

    async def _run_while_links_stand(self) -> None:
        watched = spots(self._paths)
        async with asyncio.TaskGroup() as listeners:
            tasks = [listeners.create_task(self._listen(spot)) for spot in watched]
            await asyncio.sleep(0)  # from now on they hear; what was before is looked at now
            while spots(self._paths) == watched:
                await self.look()
                await self._changed.wait()
                self._changed.clear()
            for task in tasks:
                task.cancel()

    async def _listen(self, spot: "Spot") -> None:
        from watchfiles import awatch

        changes = awatch(
            *spot.folders,
            watch_filter=(lambda _, path: path in spot.only) if spot.only else None,
            step=QUIET_MS,
            debounce=LONGEST_MS,
            rust_timeout=0,
            recursive=not spot.only,
        )
        async for _ in changes:
            self._changed.set()

    async def look(self) -> None:
        """Make what is served the same as what is there."""
        try:
            now = await asyncio.to_thread(stamps, self._paths)
        except OSError as error:
            logger.warning("the models cannot be looked at, so nothing is changed: %s", error)
            return
        before, self._stamps = self._stamps, now
        for name in sorted(now.keys() | before.keys()):
            if now.get(name) == before.get(name):
                continue
            # What went wrong is logged where it did. It is tried again with the next change.
            with suppress(ModelError, BatchingError):
                if name in now:
                    await self._engine.reload(name)
                else:
                    logger.info("%s is gone, and is let go", name)
                    await self._engine.unload(name, forget=True)


@dataclass(frozen=True)
class Spot:
    """Where the system is asked to tell of changes."""

    folders: tuple[str, ...]
    only: frozenset[str] = frozenset()
    """Of a folder that is not ours: the paths in it that matter. Empty: all, and all below."""


def spots(paths: Iterable[Path]) -> list[Spot]:
    """Everything that must be watched to hear of any change of the models at the paths.

    A folder is watched itself, with all below it. But where it, or a lone file, is replaced by
    another, or is a link that is turned, that happens in the folder around it.
    """
    trees, entries = set(), set()
    for path in paths:
        entry = os.path.abspath(path)
        for _ in range(40):  # as many links as the system follows
            entries.add(entry)
            if not os.path.islink(entry):
                break
            entry = os.path.join(os.path.dirname(entry), os.readlink(entry))
        if os.path.isdir(path):
            trees.add(os.path.realpath(path))
    found = [Spot(tuple(sorted(trees)))] if trees else []
    around = {folder for entry in entries if os.path.isdir(folder := os.path.dirname(entry))}
    # The system names what has changed by the folder that it was asked about.
    return [*found, Spot(tuple(sorted(around)), frozenset(entries))]


def stamps(paths: Iterable[Path]) -> dict[str, Stamp]:
    """The files of each model at the paths. Raises OSError if a path cannot be read.

    A path that is not there at all is such an error: it is more likely being replaced, or
    is a volume that went away, than that somebody wants nothing to be served. So is one that
    goes, or is replaced, while it is looked at: what was found of it may be half of it.
    """
    paths = list(paths)
    before = [_identity(path) for path in paths]
    found = {name: _stamp(place) for name, place in places(paths).items()}
    for path, identity in zip(paths, before, strict=True):
        if _identity(path) != identity:
            raise OSError(f"{path} was replaced while it was looked at")
    return found


def _identity(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_dev, about.st_ino


def _stamp(place: Path) -> Stamp:
    """The files at a place: a folder's, or a lone file and those that go with it."""
    files = _files_in(place) if place.is_dir() else place.parent.glob(f"{glob.escape(place.name)}*")
    found = set()
    for file in files:
        with suppress(FileNotFoundError):  # gone in this moment
            about = file.stat()
            identity = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
            found.add((str(file), *identity))
    return frozenset(found)


def _files_in(folder: Path) -> Iterator[Path]:
    """All files in a folder and below it, through links, but in no folder twice."""
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        about = os.stat(parent)
        if (about.st_dev, about.st_ino) in seen:
            folders.clear()  # a link that leads back
            continue
        seen.add((about.st_dev, about.st_ino))
        folders[:] = [name for name in folders if name[:1] not in "._"]
        yield from (Path(parent, file) for file in files if not file.startswith("."))

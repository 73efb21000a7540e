"""Blocks over the machines of a Ray cluster, results in order. Needs `jitney[map,ray]`.

    this process:  read ─► block ─┐                       ┌─► in order ─► write
                                  ▼                       │
    actors, one for every so many CPUs as a run has threads: `Mapper.map`, a block at a time

The machines need Jitney, and nothing of the model: its files travel through Ray's object store,
once to each machine. So all machines have the very file whose hash stands in the manifest, and
they need no common disk. Tables are read and written here, as always.

Not Ray Data. A run that can go on promises that it cuts the table into the same blocks, runs
them in the same batches and writes them in their order; that it begins at any row; that no more
is in memory than there is room for; and that each row keeps its number, for those that are set
aside. Ray Data cuts and joins blocks by their bytes as it thinks best, reads by tasks of its own
instead of from an iterator that knows row numbers, and a machine that is lost makes it read
again what was read before. Here a block is a call of an actor. The number of calls under way is
bounded, their results are taken in order, and what an actor had when it was lost is asked of
another one: the same rows in the same batches, so the same result.
"""

import logging
import socket
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from .blocks import Block, Rejected, Rows
from .errors import CannotMap
from .job import EngineOf
from .luggage import Luggage, packed, read, unpacked, written
from .mapper import Mapped, Mapper

START_S = 300.0
"""How long nobody may be ready to work, before the run ends."""
DEATHS = 3
"""So many actors may die of one block, and so many in a row while they start."""
AHEAD = 2
"""Blocks that an actor has: one that it runs, and one that waits for when it ends."""
CONNECT_S, CLOSE_S = 5.0, 5.0


@contextmanager
def connected(address: str | None) -> Iterator[tuple[EngineOf, int]]:
    """Be part of a Ray cluster: what makes an engine for it, and the cores of its machines.

    address: of its head, HOST:PORT; None is what RAY_ADDRESS says, or one on this machine.
    The cores are the smallest machine's: what is planned for so many can run on each.
    Raises CannotMap if there is no cluster.
    """
    try:
        if address and "://" not in address:
            # Ray itself would try for minutes.
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECT_S).close()
        ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        at = f" at {address}" if address else ""
        raise CannotMap(
            f"there is no Ray cluster{at}: start one (ray start --head), or say where one is "
            "with --ray-address HOST:PORT."
        ) from error
    try:
        cores = int(min(filter(None, _cpus()), default=1))
        yield lambda mapper, plan, cores: RayEngine(mapper), max(1, cores)
    finally:
        ray.shutdown()


class RayEngine:
    """The actors of a cluster. `ray.init` comes first; see `connected`."""

    def __init__(self, mapper: Mapper) -> None:
        self._threads = mapper.recipe.plan.threads
        self._luggage = packed(mapper)

    def map(self, blocks: Iterable[Block]) -> Generator[Mapped, None, None]:
        """See Engine. Raises CannotMap if no machine can do it, or none survives a block."""
        crew = _Crew(ray.put(self._luggage), self._threads)
        try:
            yield from _in_order(crew, iter(blocks))
        finally:
            crew.close()


def _in_order(crew: "_Crew", blocks: Iterator[Block]) -> Generator[Mapped, None, None]:
    under_way: deque[_Call] = deque()
    more = True
    while True:
        while more and len(under_way) < crew.room:
            block = next(blocks, None)
            if block is None:
                more = False
            else:
                under_way.append(_Call(block))
        crew.give(call for call in under_way if call.idle)
        if not under_way:
            return
        if under_way[0].result is None:
            crew.wait()
        else:
            yield under_way.popleft().mapped()


# --- here


@dataclass(eq=False)
class _Call:
    """A block, and who has it."""

    block: Block
    actor: Any = None
    result: tuple[bytes, list[Rejected]] | None = None
    deaths: int = 0

    @property
    def idle(self) -> bool:
        return self.actor is None and self.result is None

    def mapped(self) -> Mapped:
        assert self.result is not None
        table, rejected = self.result
        together = sorted([*self.block.rejected, *rejected], key=lambda one: one.row)
        return Mapped(self.block, read(table), together)


@dataclass
class _Crew:
    """The actors, and what each has been asked."""

    luggage: Any
    threads: int
    _ready: dict[Any, deque[_Call]] = field(default_factory=dict)
    """What each that is ready has been given, the oldest first."""
    _refs: dict[Any, _Call] = field(default_factory=dict)
    _starting: dict[Any, Any] = field(default_factory=dict)
    """Actors that load the model, by the reference that says when they have."""
    _failed_starts: int = 0

    def __post_init__(self) -> None:
        machines = _cpus()
        count = sum(int(cpus // self.threads) for cpus in machines)
        if not count:
            raise CannotMap(
                f"no machine of the Ray cluster has {self.threads} CPUs for a run of the model: "
                f"the largest has {max(machines, default=0):g}."
            )
        for _ in range(count):
            self._start()

    @property
    def room(self) -> int:
        """Blocks that may be under way, read but not written."""
        return AHEAD * (len(self._ready) + len(self._starting)) + 2

    def give(self, calls: Iterable[_Call]) -> None:
        """Let who has least to do have these, as far as they have room."""
        for call in calls:
            actor = min(self._ready, key=lambda one: len(self._ready[one]), default=None)
            if actor is None or len(self._ready[actor]) >= AHEAD:
                return
            block = call.block
            ref = actor.map.remote(block.first, block.count, written(block.table), block.rows)
            self._ready[actor].append(call)
            self._refs[ref], call.actor = call, actor

    def wait(self) -> None:
        """Return when something has happened. Raises CannotMap when nothing will."""
        refs = [*self._refs, *self._starting]
        working = bool(self._refs)
        done, _ = ray.wait(refs, num_returns=1, timeout=None if working else START_S)
        if not done:
            raise CannotMap(
                f"nobody in the Ray cluster was ready to work for {START_S:g} s: no machine has "
                f"{self.threads} free CPUs. What is done is kept."
            )
        for ref in done:
            if ref in self._starting:
                self._started(ref)
            elif ref in self._refs:
                self._answered(ref)

    def close(self) -> None:
        """Send all away, and leave nothing on their disks."""
        actors = [*self._ready, *self._starting.values()]
        with suppress(RayError, GetTimeoutError):
            ray.get([actor.close.remote() for actor in self._ready], timeout=CLOSE_S)
        for actor in actors:
            ray.kill(actor)

    def _start(self) -> None:
        actor = _ACTOR.options(num_cpus=self.threads).remote()
        self._starting[actor.open.remote(self.luggage)] = actor

    def _started(self, ref: Any) -> None:
        actor = self._starting.pop(ref)
        try:
            ray.get(ref)
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= DEATHS:
                raise CannotMap(
                    "nobody in the Ray cluster could begin to work; every machine needs "
                    f"Python's and Jitney's same versions (pip install 'jitney[ray]'): {error}"
                ) from error
            self._start()
        else:
            self._failed_starts = 0
            self._ready[actor] = deque()

    def _answered(self, ref: Any) -> None:
        call = self._refs.pop(ref)
        actor = call.actor
        try:
            call.result = ray.get(ref)
        except RayTaskError as error:
            raise error.cause from None
        except RayError:
            self._lost(actor)
        else:
            self._ready[actor].remove(call)
        call.actor = None

    def _lost(self, actor: Any) -> None:
        """It has died, or its machine, or what it had to say: others do what it had."""
        calls = self._ready.pop(actor, deque())
        with suppress(RayError):
            ray.kill(actor)
        self._refs = {ref: call for ref, call in self._refs.items() if call.actor is not actor}
        for call in calls:
            call.actor = None
        if calls:
            # The others waited behind it.
            calls[0].deaths += 1
            if calls[0].deaths >= DEATHS:
                block = calls[0].block
                raise CannotMap(
                    f"{DEATHS} workers in a row died of rows {block.first} to {block.end - 1}; "
                    "what is before them is kept. Ray's log says of what; of memory, most likely."
                )
        self._start()


def _cpus() -> list[float]:
    """The CPUs of each machine that is there."""
    return [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]


# --- there


class _Actor:
    """Maps blocks on some machine."""

    def open(self, luggage: Luggage) -> None:
        """Make the mapper. Raises BadModel."""
        # What goes wrong with a row is told to who asked.
        logging.getLogger("models").setLevel(logging.CRITICAL)
        self._folder = TemporaryDirectory(prefix="jitney-map-")
        self._mapper = unpacked(luggage, Path(self._folder.name))

    def map(self, first: int, count: int, table: bytes, rows: Rows) -> tuple[bytes, list[Rejected]]:
        """What came of a block, and which of its rows failed."""
        mapped = self._mapper.map(Block(first, count, read(table), rows))
        return written(mapped.table), mapped.rejected

    def close(self) -> None:
        self._folder.cleanup()


_ACTOR: Any = ray.remote(_Actor)

"""All cores of this machine: steps of several blocks at one time, results in order.

    reading ─► preparing ─► running ─► finishing ─► whoever iterates, in the order of the blocks
    a thread   two or more  a thread   by those     writes
                            a slot     that prepare

Blocks are read only while there is room, so memory is bounded whoever is slow. The engine
releases the interpreter while it runs, as do the readers, tokenizers and writers for most
of their time.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Lock, Semaphore, Thread
from typing import Protocol

from .blocks import Block
from .cutting import Places
from .mapper import Mapped, Mapper, Work


class Engine(Protocol):
    """Maps blocks somewhere. This one does it here; another may have a cluster."""

    def map(self, blocks: Iterable[Block]) -> Generator[Mapped, None, None]:
        """What came of each block, in their order; takes no more than it has room for.

        Whoever stops before the end closes it.
        """
        ...


class LocalEngine:
    """Threads of this process."""

    def __init__(self, mapper: Mapper, *, slots: int, cores: int) -> None:
        self._mapper = mapper
        self._slots = slots
        self._preparing = max(2, cores // 4)

    def map(self, blocks: Iterable[Block]) -> Generator[Mapped, None, None]:
        """See Engine."""
        line = _Line(self._mapper, self._slots, self._preparing)
        reader = Thread(target=line.read, args=(blocks,), name="read", daemon=True)
        reader.start()
        try:
            yield from line.results()
        finally:
            line.stop()
            reader.join()


class _Line:
    """One run of the engine."""

    def __init__(self, mapper: Mapper, slots: int, preparing: int) -> None:
        self._mapper = mapper
        self._prepare = ThreadPoolExecutor(preparing, thread_name_prefix="prepare")
        self._run = ThreadPoolExecutor(slots, thread_name_prefix="run")
        # A block for each slot, as many prepared for when those end, and two that are
        # read and written.
        self._room = Semaphore(2 * slots + 2)
        self._order: SimpleQueue[Future[Mapped] | BaseException | None] = SimpleQueue()
        self._stopped = Event()

    def read(self, blocks: Iterable[Block]) -> None:
        try:
            for block in blocks:
                self._room.acquire()
                if self._stopped.is_set():
                    return
                result: Future[Mapped] = Future()
                self._order.put(result)
                self._prepare.submit(self._guarded, result, self._begin, block, result)
            self._order.put(None)
        except BaseException as error:
            self._order.put(error)

    def results(self) -> Iterator[Mapped]:
        while (result := self._order.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result.result()
            self._room.release()

    def stop(self) -> None:
        """Begin nothing more, and wait for what runs."""
        self._stopped.set()
        self._room.release()
        self._run.shutdown(wait=True, cancel_futures=True)
        self._prepare.shutdown(wait=True, cancel_futures=True)

    def _begin(self, block: Block, result: Future[Mapped]) -> None:
        work = self._mapper.prepare(block)
        if not work.batches:
            result.set_result(self._mapper.finish(work))
            return
        left = _Countdown(len(work.batches))
        for batch in work.batches:
            self._run.submit(self._guarded, result, self._one, work, batch, left, result)

    def _one(self, work: Work, batch: Places, left: "_Countdown", result: Future[Mapped]) -> None:
        self._mapper.run(work, batch)
        if left.last():
            self._prepare.submit(self._guarded, result, self._end, work, result)

    def _end(self, work: Work, result: Future[Mapped]) -> None:
        result.set_result(self._mapper.finish(work))

    @staticmethod
    def _guarded(result: Future[Mapped], step: Callable[..., None], *args: object) -> None:
        """Whatever goes wrong in a thread is for whoever waits for the block."""
        try:
            step(*args)
        except BaseException as error:
            if not result.done():
                result.set_exception(error)


class _Countdown:
    def __init__(self, count: int) -> None:
        self._left, self._lock = count, Lock()

    def last(self) -> bool:
        """One is done; whether it was the last."""
        with self._lock:
            self._left -= 1
            return self._left == 0

"""Where a batch runs: off the event loop, one blocking run a slot."""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    """Runs a blocking function somewhere else than on the event loop."""

    @property
    def alive(self) -> bool:
        """Whether it can still run anything."""

    def run(self, function: Callable[[], T]) -> Awaitable[T]:
        """Call the function, as soon as a thread is free; await what it returns or raises.

        What `close` finds not begun is cancelled.
        """
        ...

    def start(self, function: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """`run` without a future: `then` is told, on the event loop, what it returned or raised.

        What `close` finds not begun is dropped, and `then` never called.
        """
        ...

    def close(self) -> None:
        """Wait for what runs, and run no more."""


class ThreadExecutor:
    """Threads. Worth it for functions that release the interpreter lock while they work.

    The pool of the standard library makes a future with a lock of its own for each call and
    chains another to it for the event loop: a third of what handing a run over takes.
    """

    def __init__(self, slots: int, *, name: str = "batch", nice: int = 0) -> None:
        """
        slots: how many runs there may be at one time.
        nice: how far the threads stand back for others, in the system's own measure.
        """
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads = [
            # At the interpreter's end nobody waits for one that was not closed.
            threading.Thread(
                target=_serve, args=(self._calls, nice), name=f"{name}_{n}", daemon=True
            )
            for n in range(slots)
        ]
        for thread in self._threads:
            thread.start()
        self._closed = False

    @property
    def alive(self) -> bool:
        return not self._closed and all(thread.is_alive() for thread in self._threads)

    def run(self, function: Callable[[], T]) -> Awaitable[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._hand_over((loop, function, partial(_settle, future), future.cancel))
        return future

    def start(self, function: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        self._hand_over((asyncio.get_running_loop(), function, then, None))

    def _hand_over(self, call: "_Call") -> None:
        if self._closed:
            raise RuntimeError("the executor is closed, and runs nothing any more")
        self._calls.put(call)

    def close(self) -> None:
        self._closed = True
        with suppress(Empty):
            while True:
                _drop(self._calls.get_nowait())
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()


_Call = tuple[
    asyncio.AbstractEventLoop,
    Callable[[], Any],
    Callable[[Any], None],
    Callable[[], object] | None,
]
"""Whose loop, what to call, who is told what came of it, and who that it was dropped."""


def _serve(calls: "SimpleQueue[_Call | None]", nice: int) -> None:
    """One thread's life."""
    _stand_back(nice)
    while (call := calls.get()) is not None:
        _tell(*call[:3])
        del call  # nothing of a batch is held while nobody waits


def _tell(
    loop: asyncio.AbstractEventLoop,
    function: Callable[[], T],
    then: Callable[[T | Exception], None],
) -> None:
    came: T | Exception
    try:
        came = function()
    except Exception as error:
        came = error
    except BaseException as error:  # as a panic in a library is: whoever waits must be told
        came = RuntimeError(f"{type(error).__name__} on another thread")
        came.__cause__ = error
    with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
        loop.call_soon_threadsafe(then, came)
    # An error holds this frame: if the frame held the error, both would be left to the collector.
    del came


def _drop(call: _Call | None) -> None:
    """It is never begun."""
    if call is None:
        return
    loop, _, _, dropped = call
    if dropped is not None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(dropped)


def _settle(future: "asyncio.Future[T]", came: T | Exception) -> None:
    if future.done():
        return  # who waited was cancelled
    if isinstance(came, Exception):
        future.set_exception(came)
    else:
        future.set_result(came)


def _stand_back(nice: int) -> None:
    """Let others go first on a core that is shared; only Linux knows this of a single thread."""
    if nice and sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)

"""Where a batch runs: off the event loop, one blocking run a slot."""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    """Runs a blocking function somewhere else than on the event loop."""

    @property
    def alive(self) -> bool:
        """Whether it can still run anything."""

    def run(self, function: Callable[[], T]) -> Awaitable[T]:
        """Call the function, as soon as a thread is free; await what it returns or raises."""
        ...

    def start(self, function: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        """`run` without a future: `then` is told, on the event loop, what it returned or raised.

        What `close` finds not begun is dropped, and `then` never called.
        """
        ...

    def close(self) -> None:
        """Wait for what runs, and run no more."""


class ThreadExecutor:
    """Threads. Worth it for functions that release the interpreter lock while they work."""

    def __init__(self, slots: int, *, name: str = "batch", nice: int = 0) -> None:
        """
        slots: how many runs there may be at one time.
        nice: how far the threads stand back for others, in the system's own measure.
        """
        self._threads = ThreadPoolExecutor(
            slots, thread_name_prefix=name, initializer=_stand_back, initargs=(nice,)
        )
        # The pool would start each when it is first needed, in the middle of a request.
        all_here = threading.Barrier(slots)
        for _ in range(slots):
            self._threads.submit(all_here.wait)
        self._closed = False

    @property
    def alive(self) -> bool:
        # A pool that could not start a thread, or whose thread died, says so here.
        return not self._closed and not getattr(self._threads, "_broken", False)

    def run(self, function: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function)

    def start(self, function: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
        self._threads.submit(_tell, asyncio.get_running_loop(), function, then)

    def close(self) -> None:
        self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)


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


def _stand_back(nice: int) -> None:
    """Let others go first on a core that is shared; only Linux knows this of a single thread."""
    if nice and sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)

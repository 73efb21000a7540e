"""Which sockets have something to say, waiting for it no longer than until an instant.

epoll where there is one: a socket is announced once, not before every wait. Its own
timeout counts whole milliseconds, which is far too coarse for instants 50 µs apart;
select() on the epoll's descriptor counts microseconds. Elsewhere, what Python has.
"""

import ctypes
import select
import selectors
import sys
from contextlib import suppress
from typing import Any, Protocol

READ, WRITE = 1, 4
"""As epoll has them. Anything else in the flags of an event is an error or an end."""

AT_ONCE = 32
"""Events handled before what is due is looked at again: each takes some microseconds."""


class Poller(Protocol):
    """Sockets by their descriptor."""

    def add(self, fd: int, flags: int) -> None: ...
    def change(self, fd: int, flags: int) -> None: ...
    def remove(self, fd: int) -> None: ...
    def wait(self, timeout_s: float) -> list[tuple[int, int]]:
        """Descriptors and what they have; none after timeout_s, which may be below 0."""
        ...

    def close(self) -> None: ...


class EpollPoller:
    """Linux."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._only = (self._epoll.fileno(),)
        self.add = self._epoll.register
        self.change = self._epoll.modify
        self.remove = self._epoll.unregister
        # select() has no room for larger ones.
        self._precise = self._epoll.fileno() < 1024

    def wait(self, timeout_s: float) -> list[tuple[int, int]]:
        if timeout_s > 0:
            if not self._precise:
                return self._poll(timeout_s, AT_ONCE)
            if not select.select(self._only, (), (), timeout_s)[0]:
                return []
        return self._poll(0, AT_ONCE)

    def close(self) -> None:
        self._epoll.close()


class SelectorPoller:
    """Any other system."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    @staticmethod
    def _mask(flags: int) -> int:
        return (selectors.EVENT_READ if flags & READ else 0) | (
            selectors.EVENT_WRITE if flags & WRITE else 0
        )

    def add(self, fd: int, flags: int) -> None:
        self._selector.register(fd, self._mask(flags))

    def change(self, fd: int, flags: int) -> None:
        self._selector.modify(fd, self._mask(flags))

    def remove(self, fd: int) -> None:
        self._selector.unregister(fd)

    def wait(self, timeout_s: float) -> list[tuple[int, int]]:
        return [
            (key.fd, flags & READ | (WRITE if flags & selectors.EVENT_WRITE else 0))
            for key, flags in self._selector.select(max(0.0, timeout_s))[:AT_ONCE]
        ]

    def close(self) -> None:
        self._selector.close()


def make_poller() -> Poller:
    """The best that this system has."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()


class PunctualSleep:
    """While it is entered, this thread is woken when it asked to be: Linux adds 50 µs otherwise.

    Where that cannot be had, nothing happens: what it costs is counted as lateness.
    """

    _SET, _GET = 29, 30

    def __init__(self) -> None:
        self._prctl: Any = None
        self._before = 0

    def __enter__(self) -> None:
        if sys.platform == "linux":
            with suppress(OSError, AttributeError):
                self._prctl = ctypes.CDLL(None).prctl
                self._before = self._prctl(self._GET, 0, 0, 0, 0)
                self._prctl(self._SET, ctypes.c_ulong(1), 0, 0, 0)

    def __exit__(self, *_: object) -> None:
        if self._prctl is not None and self._before > 0:
            self._prctl(self._SET, ctypes.c_ulong(self._before), 0, 0, 0)

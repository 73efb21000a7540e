"""What the C library's allocator is told, so that memory goes back with the model that had it.

glibc gives a large block pages of its own, which go back when it is freed, and takes a small
one from a heap, where it stays between others. What is large it learns from what it sees
freed, up to 32 MiB: after the first model that goes, the weights of the next lie in the heap,
and what is left of each between those of others. With another C library nothing is done.
"""

import ctypes
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What mallopt calls them."""

_LARGE_WEIGHT = 128 * 1024
"""Bytes: with what glibc begins."""

_LARGE = 32 * 1024 * 1024
"""Bytes: where glibc ends. Tensors of runs below it are made and freed all the time, and new
pages for each would be paid for."""

_lock = threading.Lock()
_loading = 0


@contextmanager
def weights_apart() -> Iterator[None]:
    """While models are loaded, what they allocate gets pages of its own."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def give_back_memory() -> None:
    """Give what was freed back to the system, garbage too. Takes tens of milliseconds."""
    gc.collect()
    trim_memory()


def trim_memory() -> None:
    """Give what was freed back to the system. Other threads go on meanwhile."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _count(more: int) -> None:
    global _loading
    with _lock, suppress(OSError, AttributeError):
        _loading += more
        library = ctypes.CDLL(None)
        # Once one is set, nothing is learned any more, and the other stays too small.
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGE)
        library.mallopt(_MMAP_THRESHOLD, _LARGE_WEIGHT if _loading else _LARGE)

"""The threads of this process, those of native libraries included."""

import gc
import time
from pathlib import Path

_TASKS = Path("/proc/self/task")

COUNTABLE = _TASKS.is_dir()
"""Whether this system tells."""


def thread_count() -> int:
    """How many there are."""
    gc.collect()  # a model that an earlier test left behind has threads of its own
    return len(list(_TASKS.iterdir()))


def thread_count_becomes(expected: int) -> bool:
    """Whether there are so many, or soon are: one that ended may be listed for a moment yet."""
    ends = time.monotonic() + 10
    while thread_count() != expected:
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True

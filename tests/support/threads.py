"""The threads of this process, those of native libraries included."""

import gc
from pathlib import Path

_TASKS = Path("/proc/self/task")

COUNTABLE = _TASKS.is_dir()
"""Whether this system tells."""


def thread_count() -> int:
    """How many there are."""
    gc.collect()  # a model that an earlier test left behind has threads of its own
    return len(list(_TASKS.iterdir()))

"""Many small requests into few large batches.

A small library in its own right: no HTTP, no ONNX, no clock of its own. `Batcher`
batches any function; the modules beside it each decide one thing.
"""

from .batcher import Batcher
from .cost import CostModel
from .errors import (
    BatchingError,
    DeadlineExceeded,
    Draining,
    QueueFull,
    Rejected,
    RunFailed,
    TooManyRows,
    WrongResults,
)
from .executor import Executor, ThreadExecutor
from .observer import BatchObserver
from .ticket import Batch, Reply, Ticket

__all__ = [
    "Batch",
    "BatchObserver",
    "Batcher",
    "BatchingError",
    "CostModel",
    "DeadlineExceeded",
    "Draining",
    "Executor",
    "QueueFull",
    "Rejected",
    "Reply",
    "RunFailed",
    "ThreadExecutor",
    "Ticket",
    "TooManyRows",
    "WrongResults",
]

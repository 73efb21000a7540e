"""Many small requests into few large batches.

A small library in its own right: no HTTP, no ONNX, no clock of its own. `Batcher`
batches any function; the modules beside it each decide one thing.
"""

from .batcher import Batcher
from .cores import Cores
from .cost import CostModel, Sample
from .errors import (
    BatchingError,
    DeadlineExceeded,
    Draining,
    QueueFull,
    Rejected,
    RunFailed,
    TooLate,
    TooManyRows,
    WrongResults,
)
from .executor import Executor, ThreadExecutor
from .observer import BatchObserver
from .ticket import Alike, Batch, Reply, Ticket

__all__ = [
    "Alike",
    "Batch",
    "BatchObserver",
    "Batcher",
    "BatchingError",
    "Cores",
    "CostModel",
    "DeadlineExceeded",
    "Draining",
    "Executor",
    "QueueFull",
    "Rejected",
    "Reply",
    "RunFailed",
    "Sample",
    "ThreadExecutor",
    "Ticket",
    "TooLate",
    "TooManyRows",
    "WrongResults",
]

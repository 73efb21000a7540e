"""What can go wrong between handing a request in and getting its rows back.

BatchingError
├── Rejected              never queued; safe to send again elsewhere
│   ├── QueueFull         no room for so many rows now
│   ├── TooManyRows       no room for so many rows ever
│   └── Draining          this batcher is stopping
├── DeadlineExceeded      queued, but its time ran out first
└── RunFailed             it ran, and the run failed
    └── WrongResults      the run returned something else than one result a payload
"""


class BatchingError(Exception):
    """Whatever this package has to say about a request."""


class Rejected(BatchingError):
    """Never queued; nothing was done for it."""


class QueueFull(Rejected):
    """There is no room for this many rows now."""

    def __init__(self, *, rows: int, waiting: int, limit: int) -> None:
        super().__init__(f"the queue is full: {waiting} of {limit} rows wait, {rows} more came")
        self.rows, self.waiting, self.limit = rows, waiting, limit


class TooManyRows(Rejected):
    """One request asks for more rows than the queue ever holds."""

    def __init__(self, *, rows: int, limit: int) -> None:
        super().__init__(f"a request may have at most {limit} rows, this one has {rows}")
        self.rows, self.limit = rows, limit


class Draining(Rejected):
    """The batcher finishes what it has and takes nothing new."""

    def __init__(self) -> None:
        super().__init__("this model is stopping and takes no new requests")


class DeadlineExceeded(BatchingError):
    """The request was queued, and its time ran out before it could run."""

    def __init__(self, *, waited_s: float) -> None:
        super().__init__(f"the request's time ran out after {waited_s * 1e3:.1f} ms in the queue")
        self.waited_s = waited_s


class RunFailed(BatchingError):
    """The run raised; `__cause__` is what it raised."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the run failed: {why}")


class WrongResults(RunFailed):
    """The function that was to run a batch broke its contract."""

    def __init__(self, *, expected: int, got: int) -> None:
        super().__init__(f"{expected} payloads went in, {got} results came out")
        self.expected, self.got = expected, got

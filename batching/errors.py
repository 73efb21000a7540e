"""What can go wrong between handing a request in and getting its rows back.

BatchingError
├── Rejected              never queued; safe to send again elsewhere
│   ├── QueueFull         no room for so many rows now
│   ├── TooLate           its answer would come after its deadline
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

    def __init__(self, *, rows: int, waiting: int, limit: int, retry_after_s: float = 0.0) -> None:
        super().__init__(f"the queue is full: {waiting} of {limit} rows wait, {rows} more came")
        self.rows, self.waiting, self.limit = rows, waiting, limit
        self.retry_after_s = retry_after_s


class TooLate(Rejected):
    """The answer would come after the deadline, by what is known of what waits."""

    def __init__(self, *, needed_s: float, allowed_s: float) -> None:
        super().__init__(needed_s, allowed_s)
        self.needed_s, self.allowed_s = needed_s, allowed_s
        self.retry_after_s = needed_s - allowed_s

    def __str__(self) -> str:  # written only if it is read: refusing must be cheap
        return (
            f"the answer would take {self.needed_s * 1e3:.3g} ms, "
            f"but only {max(0.0, self.allowed_s) * 1e3:.3g} ms are allowed"
        )


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
    """The request was queued, and its time ran out: before it could run, or while it ran."""

    def __init__(self, *, waited_s: float) -> None:
        super().__init__(f"the request's time ran out; {waited_s * 1e3:.1f} ms were not enough")
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

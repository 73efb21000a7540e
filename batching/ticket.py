"""One request on its way through a batch.

The reply travels with the ticket: whoever finishes the ticket answers its
caller, and there is no table of ids that could name somebody else.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from math import inf
from typing import Generic, NamedTuple, Protocol, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
Out_contra = TypeVar("Out_contra", contravariant=True)


class Reply(Protocol[Out_contra]):
    """Where an answer goes. `asyncio.Future` is one."""

    def done(self) -> bool:
        """Whether nobody waits any more: answered already, or gone."""

    def set_result(self, result: Out_contra, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


@dataclass(slots=True, eq=False)
class Batch:
    """What happened to one batch; its tickets point here. Instants as `arrived`."""

    rows: int
    cut_at: float
    ended_at: float = 0.0
    run_s: float = 0.0
    length: int = 0
    """What its rows were padded to; 0 where there is no padding."""
    work: int = 0
    """Each row's own length, summed: what of `rows * length` is no padding. 0 where not known."""
    predicted_s: float = 0.0
    """What it was thought to run for when it left; 0 where nobody did."""
    runs: int = 1  # more than one if it failed and its members were run apart

    @property
    def padding(self) -> float:
        """The share of its work that was padding, 0 to 1."""
        return 1 - self.work / (self.rows * self.length) if self.work and self.length else 0.0


class Alike(NamedTuple):
    """What the tickets of requests have in common that differ in their payloads only."""

    rows: int
    key: Hashable
    priority: int
    timeout_s: float


@dataclass(slots=True, eq=False)
class Ticket(Generic[In, Out]):
    """A payload, what the scheduler needs to know about it, and where its answer goes."""

    payload: In
    reply: Reply[Out]
    arrived: float
    """When it came, as an instant of the batcher's clock, in seconds."""
    rows: int = 1
    """How much of a batch it takes."""
    length: int = 0
    """Length along the padded axis; 0 where there is none."""
    key: Hashable = None
    """Only tickets with equal keys may share a batch."""
    priority: int = 0
    """Smaller is more urgent, before any deadline."""
    deadline: float = inf
    """The instant after which nobody wants the answer."""
    alone_s: float = 0.0
    """What it takes if it rides alone: once `deadline - alone_s` has passed, it is late."""
    work_s: float = 0.0
    """Its share of a well-filled batch: what it adds to the wait of those behind it."""
    batch: Batch | None = field(default=None, init=False)
    """The batch that it rides in, once it does."""
    failed: bool = field(default=False, init=False)
    """Whether it was answered with an error."""
    left: bool = field(default=False, init=False)
    """Whether its caller had gone before it was answered."""
    trace: object = field(default=None, init=False)
    """Whatever an observer wants to know it by."""

    @property
    def latest_start(self) -> float:
        """The last instant at which it may begin to run, alone, and be in time."""
        return self.deadline - self.alone_s

    @property
    def urgency(self) -> tuple[float, float]:
        """Orders tickets of one priority: deadline first, then arrival."""
        return (self.deadline, self.arrived)

    def answer(self, result: Out) -> None:
        """Give the caller its result, if it is still there."""
        if not self.reply.done():
            self.reply.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Give the caller an error, if it is still there."""
        self.failed = True
        if not self.reply.done():
            self.reply.set_exception(error)

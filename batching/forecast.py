"""When an answer will come, by what runs, what waits and what batches cost. Pure.

Constant time but for one binary search: it is asked for every request, and once
more before a request's body is read.
"""

from math import inf
from typing import Any, NamedTuple

from .cost import CostModel
from .queue import BatchQueue

_BELIEF = 0.3
_NOTHING_S = 1e-4


class Shares(NamedTuple):
    """What a request of so many rows of such a length costs."""

    alone_s: float
    """In a batch of its own, with nothing in its way: it cannot be less."""
    own_s: float
    """In a batch of its own, as things are now."""
    work_s: float
    """Its share of a well-filled batch."""
    company_s: float
    """What a well-filled batch takes longer than one of its own."""


class Forecast:
    """Predicts for one queue. Without a cost model everything takes no time."""

    def __init__(
        self, cost: CostModel | None, queue: BatchQueue[Any, Any], *, max_rows: int, slots: int
    ) -> None:
        self.cost = cost
        self._queue = queue
        self._max_rows = max_rows
        self._free_at = [-inf] * slots
        self._shares: dict[tuple[int, int], Shares] = {}
        self._longest = 0
        self._batches_s = 0.0
        self._asked_at: dict[int, float] = {}
        self._line_s = 0.0
        """How long a slot stands in line for cores, these days, before each batch."""
        self._yields = False
        self.beside_queue_s = self._find_shares(1, 0).own_s
        """Of what `at_most_s` says to a request of one row: all but the work that waits."""

    def asks(self, slot: int, now: float) -> None:
        """The slot has somebody to run, and stands in line for cores."""
        self._asked_at[slot] = now

    def gets(self, slot: int, now: float, *, yields: bool) -> None:
        """It is the slot's turn. yields: whether others go first whoever of ours is in a hurry.

        Else the line is no reason to refuse: who has less time stands in it for less.
        """
        self._line_s += _BELIEF * (now - self._asked_at.pop(slot) - self._line_s)
        self._yields = yields and self._line_s > _NOTHING_S
        self._bound()

    def begins(self, slot: int, rows: int, length: int, now: float) -> None:
        """The slot begins a batch."""
        if self.cost:
            self._free_at[slot] = now + self.cost.cycle(rows, length)
            self._longest = max(self._longest, length)
            # What runs now, and a full batch around the newcomer, take no more than this.
            self._batches_s = 2 * self.cost.cycle(self._max_rows, self._longest)
            self._bound()

    def ends(self, slot: int) -> None:
        """The slot is free; what has been learned from its batch counts from now on."""
        self._free_at[slot] = -inf
        self._shares.clear()
        self._bound()

    def _bound(self) -> None:
        if self.cost is not None:
            own_s = self.shares(1, 0).own_s
            self.beside_queue_s = inf if self._yields else self._batches_s + own_s

    def free_at(self, slot: int) -> float:
        """When the slot's batch will have ended."""
        return self._free_at[slot]

    def shares(self, rows: int, length: int) -> Shares:
        """What such a request costs."""
        shares = self._shares.get((rows, length))
        if shares is None:
            shares = self._shares[rows, length] = self._find_shares(rows, length)
        return shares

    def _find_shares(self, rows: int, length: int) -> Shares:
        if self.cost is None:
            return Shares(0.0, 0.0, 0.0, 0.0)
        batch_s, row_s = self.cost.batch_s, self.cost.row_s(length)
        full = self.cost.cheapest_rows(self._max_rows, length)
        own_s = batch_s + rows * row_s
        return Shares(
            self.cost.at_best(rows, length),
            own_s,
            rows * (row_s + batch_s / full),
            max(0.0, batch_s + full * row_s - own_s),
        )

    def answer_s(
        self, rows: int, length: int, now: float, *, priority: int = 0, deadline: float = inf
    ) -> float:
        """Seconds from now to the answer of a request that comes now."""
        if self.cost is None:
            return 0.0
        alone_s, own_s, _, company_s = self.shares(rows, length)
        busy_s = max(0.0, min(self._free_at) - now)
        ahead_s = self._queue.ahead_s(priority, deadline) / len(self._free_at)
        if self.idle:
            # What was learned under load is old, and can only be learned anew by a run.
            return alone_s
        # Others come aboard of the same batch, the more the longer the queue: half a batch.
        answer_s = busy_s + ahead_s + own_s + min(company_s / 2, ahead_s)
        if not self._yields:
            return answer_s
        # The slots stand in line before each batch; and one that has stood for long, does so on.
        first_s = self._line_s
        if self._asked_at:
            first_s = max(first_s, now - min(self._asked_at.values())) / 2
        return answer_s + first_s + self._line_s * ahead_s / (own_s + company_s)

    def at_most_s(self, rows: int, length: int) -> float:
        """More than `answer_s` would say, for a fraction of its cost; inf where it would not be."""
        if self.cost is None:
            return 0.0
        if self._yields:
            return inf
        return self._batches_s + self._queue.work_s + self.shares(rows, length).own_s

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nobody waits."""
        return not self._queue.rows and min(self._free_at) == -inf

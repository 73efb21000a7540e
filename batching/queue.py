"""Which tickets leave next.

A BatchQueue holds the waiting tickets of one model. It knows no clock, no event
loop and no tensors: the caller passes `now` in and acts on what comes out.

The most urgent ticket always rides: priority first, then deadline, then arrival.
Its companions are the next most urgent with the same key. Rows are counted, not
tickets; a ticket that does not fit is passed over for a smaller one behind it,
which cannot starve it, because in its turn it is the most urgent.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable
from math import inf
from operator import attrgetter, itemgetter
from typing import Generic, NamedTuple

from .ticket import In, Out, Ticket

# How many tickets behind the most urgent one are looked at for company. It
# bounds the cost of a cut while a long queue waits.
WINDOW = 512

_urgency = attrgetter("urgency")


class Cut(NamedTuple, Generic[In, Out]):
    """What `take` decided."""

    riders: list[Ticket[In, Out]]
    overdue: list[Ticket[In, Out]]


class BatchQueue(Generic[In, Out]):
    """Waiting tickets, in lanes of one key and one priority, each in order of urgency."""

    def __init__(self, *, max_rows: int) -> None:
        """`max_rows`: the rows of the largest batch."""
        if max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {max_rows!r}")
        self.max_rows = max_rows
        self.rows = 0
        """Rows that wait, over all lanes."""
        self._lanes: dict[tuple[int, Hashable], list[Ticket[In, Out]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def put(self, ticket: Ticket[In, Out]) -> None:
        """Let a ticket wait."""
        lane = self._lanes.get((ticket.priority, ticket.key))
        if lane is None:
            self._lanes[ticket.priority, ticket.key] = [ticket]
        elif lane[-1].urgency <= ticket.urgency:
            # Nearly always: callers of one model have the same patience.
            lane.append(ticket)
        else:
            insort(lane, ticket, key=_urgency)
        self.rows += ticket.rows

    def discard(self, ticket: Ticket[In, Out]) -> bool:
        """Take a ticket out, if it still waits; say whether it did."""
        lane = self._lanes.get((ticket.priority, ticket.key), [])
        for at in range(bisect_left(lane, ticket.urgency, key=_urgency), len(lane)):
            if lane[at] is ticket:
                del lane[at]
                self.rows -= ticket.rows
                if not lane:
                    del self._lanes[ticket.priority, ticket.key]
                return True
            if lane[at].urgency != ticket.urgency:
                break
        return False

    def next_deadline(self) -> float:
        """The earliest deadline of a waiting ticket; inf if there is none."""
        return min((lane[0].deadline for lane in self._lanes.values()), default=inf)

    def overdue(self, now: float) -> list[Ticket[In, Out]]:
        """Take out and return every ticket whose deadline has passed."""
        late: list[Ticket[In, Out]] = []
        for name, lane in list(self._lanes.items()):
            gone = 0
            while gone < len(lane) and lane[gone].deadline <= now:
                gone += 1
            if gone:
                late += lane[:gone]
                del lane[:gone]
                if not lane:
                    del self._lanes[name]
        self.rows -= sum(ticket.rows for ticket in late)
        return late

    def take(self, now: float) -> Cut[In, Out]:
        """Take out the next batch, and whoever is too late for any.

        The batch is empty only if nobody is left to ride.
        """
        overdue = self.overdue(now)
        riders: list[Ticket[In, Out]] = []
        while self._lanes and not riders:
            riders = self._cut()
        return Cut(riders, overdue)

    def _cut(self) -> list[Ticket[In, Out]]:
        """The most urgent ticket and its company; empty if their callers have all gone."""
        (_, key), _ = min(self._lanes.items(), key=lambda item: (item[0][0], item[1][0].urgency))
        riders: list[Ticket[In, Out]] = []
        free, seen = self.max_rows, 0
        for name in sorted((name for name in self._lanes if name[1] == key), key=itemgetter(0)):
            lane = self._lanes[name]
            window = lane[: WINDOW - seen]
            seen += len(window)
            passed_over: list[Ticket[In, Out]] = []
            for ticket in window:
                if ticket.reply.done():
                    self.rows -= ticket.rows  # its caller has gone
                # The most urgent one rides whatever its size: a ticket larger than
                # the largest batch must not block the queue for ever.
                elif ticket.rows <= free or not riders:
                    riders.append(ticket)
                    free -= ticket.rows
                else:
                    passed_over.append(ticket)
            lane[: len(window)] = passed_over
            if not lane:
                del self._lanes[name]
            if free <= 0 or seen >= WINDOW:
                break
        self.rows -= sum(ticket.rows for ticket in riders)
        return riders

    def clear(self) -> list[Ticket[In, Out]]:
        """Take out and return everything."""
        left = [ticket for lane in self._lanes.values() for ticket in lane]
        self._lanes.clear()
        self.rows = 0
        return left

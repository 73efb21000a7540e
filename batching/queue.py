"""Who waits, in which order, and who leaves next.

A BatchQueue holds the waiting tickets of one model. It knows no clock, no event
loop and no tensors: the caller passes `now` in and acts on what comes out. Who
keeps the most urgent ticket company is the plan's choice.

Order: priority first, then deadline, then arrival. Rows are counted, not tickets.
"""

from bisect import bisect_left, insort
from collections.abc import Hashable
from math import inf
from operator import attrgetter
from typing import Generic, NamedTuple

from .plan import Plan
from .ticket import In, Out, Ticket

_urgency, _rows, _work_s = attrgetter("urgency"), attrgetter("rows"), attrgetter("work_s")


class Cut(NamedTuple, Generic[In, Out]):
    """What `take` decided."""

    riders: list[Ticket[In, Out]]
    overdue: list[Ticket[In, Out]]


class _Lane(list[Ticket[In, Out]]):
    """The tickets of one key and one priority, in order of urgency, and their work together."""

    work_s = 0.0


class BatchQueue(Generic[In, Out]):
    """Waiting tickets, in lanes of one key and one priority."""

    def __init__(self, plan: Plan) -> None:
        """`plan` chooses who rides."""
        self.plan = plan
        self.rows = 0
        """Rows that wait, over all lanes."""
        self.work_s = 0.0
        """Their work, over all lanes."""
        self._lanes: dict[tuple[int, Hashable], _Lane[In, Out]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def put(self, ticket: Ticket[In, Out]) -> None:
        """Let a ticket wait."""
        lane = self._lanes.get((ticket.priority, ticket.key))
        if lane is None:
            lane = self._lanes[ticket.priority, ticket.key] = _Lane()
            lane.append(ticket)
        else:
            last = lane[-1]
            if last.deadline < ticket.deadline or (
                last.deadline == ticket.deadline and last.arrived <= ticket.arrived
            ):
                # Nearly always: callers of one model have the same patience.
                lane.append(ticket)
            else:
                insort(lane, ticket, key=_urgency)
        lane.work_s += ticket.work_s
        self.work_s += ticket.work_s
        self.rows += ticket.rows

    def discard(self, ticket: Ticket[In, Out]) -> bool:
        """Take a ticket out, if it still waits; say whether it did."""
        name = (ticket.priority, ticket.key)
        lane = self._lanes.get(name)
        if lane is None:
            return False
        begin = end = bisect_left(lane, ticket.urgency, key=_urgency)
        while end < len(lane) and lane[end].urgency == ticket.urgency:
            end += 1
        # If it is cut into parts, it does not wait itself; they do, and its caller is gone.
        out = [one for one in lane[begin:end] if one is ticket or one.reply.done()]
        if out:
            gone = set(map(id, out))
            lane[begin:end] = [one for one in lane[begin:end] if id(one) not in gone]
            self._left(name, lane, out)
        return any(one is ticket for one in out)

    def ahead_s(self, priority: int, deadline: float) -> float:
        """The work of the tickets that would leave before one of such urgency."""
        ahead_s = 0.0
        for (lanes_priority, _), lane in self._lanes.items():
            if lanes_priority > priority:
                continue
            if lanes_priority < priority or lane[-1].deadline <= deadline:
                ahead_s += lane.work_s
            else:
                # Tickets of one model are alike: so many of them, so much of the work.
                before = bisect_left(lane, (deadline, inf), key=_urgency)
                ahead_s += lane.work_s * before / len(lane)
        return ahead_s

    def next_late_at(self) -> float:
        """The earliest instant at which a waiting ticket becomes too late; inf if none will."""
        return min((lane[0].latest_start for lane in self._lanes.values()), default=inf)

    def urgent(self) -> Ticket[In, Out] | None:
        """The most urgent ticket; None while nobody waits."""
        return self._most_urgent()[1][0] if self._lanes else None

    def overdue(self, now: float) -> list[Ticket[In, Out]]:
        """Take out and return those who would be late even if they ran alone now."""
        late: list[Ticket[In, Out]] = []
        for name, lane in list(self._lanes.items()):
            gone = 0
            while gone < len(lane) and lane[gone].latest_start <= now:
                gone += 1
            if gone:
                leaving = lane[:gone]
                late += leaving
                del lane[:gone]
                self._left(name, lane, leaving)
        return late

    def take(self, now: float) -> Cut[In, Out]:
        """Take out the next batch, and whoever is too late for any.

        The batch is empty only if nobody is left to ride.
        """
        overdue = self.overdue(now)
        while self._lanes:
            if riders := self._cut(now):
                return Cut(riders, overdue)
        return Cut([], overdue)

    def _most_urgent(self) -> tuple[tuple[int, Hashable], _Lane[In, Out]]:
        return min(self._lanes.items(), key=lambda item: (item[0][0], item[1][0].urgency))

    def _cut(self, now: float) -> list[Ticket[In, Out]]:
        """The most urgent ticket and its company; empty if everybody looked at has gone."""
        name, lane = self._most_urgent()
        lanes = [(name, lane)]
        if len(self._lanes) > 1:
            lanes = sorted(
                ((other, lane) for other, lane in self._lanes.items() if other[1] == name[1]),
                key=lambda item: item[0][0],
            )
        wanted = self.plan.window
        looked_at = [(name, lane, lane[:wanted]) for name, lane in lanes]
        window = [t for _, _, part in looked_at for t in part if not t.reply.done()][:wanted]
        riders = list(self.plan.riders(window, now)) if window else []
        if len(lanes) == 1 and len(window) == min(wanted, len(lane)):
            count = len(riders)
            if riders == window[:count]:
                # The first of a lane, as they mostly are.
                del lane[:count]
                self._left(name, lane, riders)
                return riders
        leaving = set(map(id, riders))
        for name, lane, part in looked_at:
            out = [t for t in part if id(t) in leaving or t.reply.done()]
            if out:
                gone = set(map(id, out))
                lane[: len(part)] = [t for t in part if id(t) not in gone]
                self._left(name, lane, out)
        return riders

    def _left(
        self, name: tuple[int, Hashable], lane: _Lane[In, Out], tickets: list[Ticket[In, Out]]
    ) -> None:
        """Count out tickets that have been taken from a lane."""
        work_s = sum(map(_work_s, tickets))
        self.rows -= sum(map(_rows, tickets))
        lane.work_s -= work_s
        self.work_s -= work_s
        if not lane:
            del self._lanes[name]
        if not self._lanes:
            self.work_s = 0.0  # what rounding has left

    def clear(self) -> list[Ticket[In, Out]]:
        """Take out and return everything."""
        left = [ticket for lane in self._lanes.values() for ticket in lane]
        self._lanes.clear()
        self.rows, self.work_s = 0, 0.0
        return left

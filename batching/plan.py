"""From the waiting tickets and what batches cost: who rides now. Pure.

The window that a plan is given holds tickets of one key, the most urgent first.
That one rides, unless no batch could be in time for it, or only one not worth running,
while others wait who fill a better one. Its company is chosen for the least cost:

* Fixed shapes: as many rows as are cheapest a row.
* Moving lengths: the window is sorted by length and cut into groups of least total
  cost, none of more rows than pay, by dynamic programming; the group of the most urgent
  ticket rides.

In both, never so many that the most urgent one would be late.
"""

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Protocol

from .cost import CostModel
from .ticket import Ticket

_rows, _length = attrgetter("rows"), attrgetter("length")

Tickets = Sequence[Ticket[Any, Any]]

# Planning may take this share of the run that it plans; one step of the dynamic
# programme takes about so long.
_PLANNING_SHARE = 0.03
_STEP_S = 2.5e-7
# A batch of less than this share of the cheapest one's rows is not worth running while
# there are others to fill one.
_LEAST_FILLED = 0.5
# What nobody can predict takes a tenth more.
_SPARE = 1.1
_LEAST_WINDOW, _MOST_WINDOW = 16, 256


class Plan(Protocol):
    """Chooses the riders of a batch."""

    max_rows: int
    """Rows of the largest batch; a ticket of more rides alone."""

    @property
    def window(self) -> int:
        """How many tickets are worth looking at."""

    def most_rows(self, length: int) -> int:
        """What a ticket of such a length should not have more of, if it can be cut."""

    def riders(self, window: Tickets, now: float) -> Tickets:
        """Who rides, of a window that is not empty: at least its first ticket."""


class FirstCome:
    """As many as fit, in order of urgency, whatever they cost."""

    def __init__(self, max_rows: int) -> None:
        if max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {max_rows!r}")
        self.max_rows = max_rows
        self.window = 2 * max_rows

    def most_rows(self, length: int) -> int:
        return self.max_rows

    def riders(self, window: Tickets, now: float) -> Tickets:
        return fill(window, self.max_rows)


class Cheapest:
    """The riders that cost least, by a cost model."""

    def __init__(self, cost: CostModel, max_rows: int) -> None:
        if max_rows < 1:
            raise ValueError(f"max_rows must be at least 1, got {max_rows!r}")
        self._cost = cost
        self.max_rows = max_rows

    @property
    def window(self) -> int:
        if not self._cost.by_length:
            return 2 * self.max_rows
        # What a group of the window's tickets takes is not known yet; a few rows do.
        affordable = _PLANNING_SHARE * self._cost.predict(4, 32) / _STEP_S / 8
        return int(max(_LEAST_WINDOW, min(_MOST_WINDOW, affordable)))

    def most_rows(self, length: int) -> int:
        if not length:
            return self.max_rows
        # More would make a row hardly cheaper, while everybody else waits for longer, and
        # the engine takes memory for it that it keeps.
        return min(self.max_rows, _TIE * self._cost.cheapest_rows(self.max_rows, length))

    def riders(self, window: Tickets, now: float) -> Tickets:
        if not self._has_time(window[0], now):
            # As it was measured it could still be in time, as things are now it cannot. Where
            # nobody can, it runs all the same: what we believe may be wrong.
            window = [ticket for ticket in window if self._has_time(ticket, now)] or window
        urgent = window[0]
        slack_s = (urgent.deadline - now) / _SPARE
        if len(set(map(_length, window))) == 1:
            return self._alike(window, urgent, slack_s, now)
        group = self._in_time(self._group(window), urgent, slack_s)
        rows = sum(ticket.rows for ticket in group)
        return self._not_late(group, rows, urgent, now)

    def _has_time(self, ticket: Ticket[Any, Any], now: float) -> bool:
        """Whether a batch of its own would be in time for it."""
        return now + self._cost.cycle(ticket.rows, ticket.length) <= ticket.deadline

    def _alike(
        self, window: Tickets, urgent: Ticket[Any, Any], slack_s: float, now: float
    ) -> list[Ticket[Any, Any]]:
        """Of tickets of one length: as many as are cheapest a row, if there is time for it."""
        length = urgent.length
        rows = self._cost.cheapest_rows(self.max_rows, length)
        # Who comes while a batch runs must have time for the next one too.
        patience_s = max(one.deadline - one.arrived for one in (urgent, window[-1]))
        rows = self._affordable(rows, length, patience_s / (2 * _SPARE))
        affordable = self._affordable(rows, length, slack_s)
        if affordable < rows * _LEAST_FILLED and (
            worth := self._worth(window, affordable, rows, now)
        ):
            return worth
        rows = min(rows, affordable)
        return fill(self._not_late(window, rows, urgent, now), rows)

    def _not_late(
        self, tickets: Tickets, rows: int, urgent: Ticket[Any, Any], now: float
    ) -> Tickets:
        """Without those for whom a batch of so many rows takes too long: work done in vain.

        Of the most urgent one that is known. Others have less time than it where priorities
        differ, or lengths.
        """
        done = now + self._cost.cycle(rows, max(ticket.length for ticket in tickets)) * _SPARE
        return [ticket for ticket in tickets if ticket is urgent or ticket.deadline >= done]

    def _affordable(self, rows: int, length: int, slack_s: float) -> int:
        """Rows, at most so many, that are done within the slack."""
        if self._cost.cycle(rows, length) <= slack_s:
            return rows
        return max(1, int((slack_s - self._cost.batch_s) / self._cost.row_s(length)))

    def _worth(
        self, window: Tickets, rescued: int, rows: int, now: float
    ) -> list[Ticket[Any, Any]]:
        """Those who have time for a batch that is worth running; nobody if one of `rescued` is.

        With a long queue, a batch of one for whoever is nearly late makes the next ones
        nearly late: rescued one by one, none is answered in time at twice the capacity. So
        if the rescue leaves no time for a well-filled batch to who comes next, it is not
        for them that the batch leaves, and they are told so.
        """
        cycle = partial(self._cost.cycle, length=window[0].length)
        next_ = window[rescued] if rescued < len(window) else None
        if next_ is None or next_.deadline >= now + (cycle(rescued) + cycle(rows)) * _SPARE:
            return []
        best: list[Ticket[Any, Any]] = []
        filled = rescued
        for wanted in (rows, 3 * rows // 4, rows // 2, rows // 4):
            if wanted <= filled:
                break
            done = now + cycle(wanted) * _SPARE
            riders = fill([ticket for ticket in window if ticket.deadline >= done], wanted)
            count = sum(ticket.rows for ticket in riders)
            if filled < count <= wanted:
                best, filled = riders, count
        return best

    def _group(self, window: Tickets) -> list[Ticket[Any, Any]]:
        """The first ticket's group in the cheapest cut of the window by length."""
        urgent = window[0]
        tickets = sorted(window, key=lambda ticket: ticket.length)
        batch_s, row_s = self._cost.batch_s, self._cost.row_s
        # least[j]: the least cost of the first j tickets; begins[j]: where its last group begins.
        least, begins = [0.0], [0]
        rows_to = [0]
        for j, ticket in enumerate(tickets, start=1):
            rows_to.append(rows_to[-1] + ticket.rows)
            one_row_s, rows = row_s(ticket.length), rows_to[j]
            most = self.most_rows(ticket.length)
            best, begin = least[j - 1] + ticket.rows * one_row_s, j - 1
            for i in range(j - 2, -1, -1):
                in_group = rows - rows_to[i]
                if in_group > most:
                    break
                total = least[i] + in_group * one_row_s
                if total < best:
                    best, begin = total, i
                elif total > best + _HOPELESS * batch_s:
                    # The padding has outgrown what one batch less could save.
                    break
            least.append(best + batch_s)
            begins.append(begin)
        end = len(tickets)
        while True:
            group = tickets[begins[end] : end]
            if any(ticket is urgent for ticket in group):
                return group
            end = begins[end]

    def _in_time(
        self, group: list[Ticket[Any, Any]], urgent: Ticket[Any, Any], slack_s: float
    ) -> list[Ticket[Any, Any]]:
        """The group without those who would make the urgent one late: the longest leave first."""
        rows = sum(ticket.rows for ticket in group)
        while len(group) > 1 and self._cost.cycle(rows, group[-1].length) > slack_s:
            leaves = group.pop() if group[-1] is not urgent else group.pop(0)
            rows -= leaves.rows
        return group


# A group of texts has at most so many times the rows that are nearly as cheap as any.
_TIE = 2
# How many batches' fixed cost the padding may exceed the best cut by before the
# search for a better one ends.
_HOPELESS = 6


def fill(window: Tickets, max_rows: int) -> list[Ticket[Any, Any]]:
    """The first ticket, and of the others in their order all who still fit."""
    riders = list(window[: max(1, max_rows)])
    if sum(map(_rows, riders)) == len(riders):
        return riders  # as most are, each has one
    del riders[1:]
    free = max_rows - sum(ticket.rows for ticket in riders)
    for ticket in window[1:]:
        if free <= 0:
            break
        if ticket.rows <= free:
            riders.append(ticket)
            free -= ticket.rows
    return riders

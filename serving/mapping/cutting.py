"""Which rows of a chunk run together. Every row once, and in batches that cost least.

Rows of one shape are cut in their order. Rows of moving length are sorted by it, and cut
by the plan that cuts the queue of a server; the order is put right when the results are
put together, so a row never leaves its chunk.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batching import CostModel, Ticket
from batching.plan import Cheapest

Places = NDArray[np.int64]
"""Rows, by their places in the chunk."""


def in_order(rows: int, size: int) -> list[Places]:
    """So many rows in batches of `size`, as evenly as they come."""
    return np.array_split(np.arange(rows), -(-rows // size)) if rows else []


def by_key(keys: Sequence[Hashable], size: int) -> list[Places]:
    """Batches of at most `size` rows of equal keys."""
    groups: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    return [
        np.array(rows)[batch] for rows in groups.values() for batch in in_order(len(rows), size)
    ]


def by_length(lengths: Sequence[int], cost: CostModel, max_rows: int) -> list[Places]:
    """Batches of rows of similar length; the longest first, so that the last to end are short."""
    plan = Cheapest(cost, max_rows)
    # The plan looks no further than one group may reach, and a group more.
    window = 2 * max_rows
    waiting = [
        Ticket[int, Any](place, _NOBODY, arrived=0.0, length=lengths[place])
        for place in np.argsort(np.asarray(lengths), kind="stable").tolist()
    ]
    batches: list[Places] = []
    at = 0
    while at < len(waiting):
        # Of tickets in order of their length, the group of the first is those behind it.
        riders = plan.riders(waiting[at : at + window], now=0.0)
        batches.append(np.array([ticket.payload for ticket in riders]))
        at += len(riders)
    return batches[::-1]


class _Nobody:
    """The reply of tickets that only the plan looks at."""

    def done(self) -> bool:
        return True

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


_NOBODY = _Nobody()

"""A request larger than the largest batch: cut into parts, answered as one.

Each part is a ticket like any other and may ride with strangers. The whole is
answered when its last part is. The first failure is the answer, and the parts
that are left are then passed over, as are those of a caller who has gone.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic

from .errors import RunFailed
from .ticket import In, Out, Ticket

Divide = Callable[[In, int], Sequence[tuple[In, int]]]
Rejoin = Callable[[Sequence[Out]], Out]


class Part(Generic[In, Out]):
    """The reply of one part: keeps its result until all parts of the whole are there."""

    ticket: Ticket[In, Out]
    ended_whole = False
    """Whether it was with this part that the whole got its answer, or its error."""

    def __init__(
        self, whole: Ticket[In, Out], index: int, results: dict[int, Any], rejoin: Rejoin[Out]
    ) -> None:
        self.whole, self._index = whole, index
        self._results, self._rejoin = results, rejoin

    def done(self) -> bool:
        return self.whole.reply.done()

    def set_result(self, result: Out, /) -> None:
        self._results[self._index] = result
        if any(missing is None for missing in self._results.values()):
            return
        self.ended_whole = True
        self.whole.batch = self.ticket.batch
        try:
            answer = self._rejoin(list(self._results.values()))
        except Exception as error:
            # Its neighbours in the batch must not fail with it.
            self.whole.fail(RunFailed(f"its parts do not fit together: {error}"))
        else:
            self.whole.reply.set_result(answer)

    def set_exception(self, exception: BaseException, /) -> None:
        self.ended_whole = True
        self.whole.fail(exception)


def divided(
    whole: Ticket[In, Out], max_rows: int, divide: Divide[In], rejoin: Rejoin[Out]
) -> list[Ticket[In, Out]]:
    """Tickets for the parts, each of at most `max_rows` rows, that together answer `whole`."""
    pieces = divide(whole.payload, max_rows)
    results: dict[int, Any] = dict.fromkeys(range(len(pieces)))
    tickets = []
    for index, (payload, rows) in enumerate(pieces):
        reply = Part(whole, index, results, rejoin)
        reply.ticket = Ticket(
            payload,
            reply,
            whole.arrived,
            rows,
            whole.length,
            whole.key,
            whole.priority,
            whole.deadline,
            whole.alone_s * rows / whole.rows,
            whole.work_s * rows / whole.rows,
        )
        tickets.append(reply.ticket)
    return tickets

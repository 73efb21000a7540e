"""A request that is cut into parts, and answered as one.

One larger than the largest batch is cut into as large parts as may be; one whose rows have
lengths of their own into its rows, so that none is padded to the longest of them. Each part
is a ticket like any other and may ride with strangers. The whole is answered when its last
part is. The first failure is the answer, and the parts that are left are then passed over,
as are those of a caller who has gone.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic

from .errors import RunFailed
from .ticket import Batch, In, Out, Ticket

Divide = Callable[[In, int], Sequence[tuple[In, int]]]
Apart = Callable[[In, Sequence[int]], Sequence[In]]
Rejoin = Callable[[Sequence[Out]], Out]


class _Results(Generic[Out]):
    """Of all parts of a whole, as they come."""

    def __init__(self, count: int, rejoin: Rejoin[Out]) -> None:
        self.of_parts: list[Any] = [None] * count
        self.missing = count
        self.rejoin = rejoin
        self.part_s = 0.0
        """What a part takes of the way to the last one, on average, in well-filled batches."""
        self.batches: list[Batch] = []
        """Those that parts have ridden in."""

    @property
    def left_s(self) -> float:
        """What those take that are missing."""
        return self.missing * self.part_s

    @property
    def batch(self) -> Batch:
        """All batches as one, for who wants to know where the time went."""
        first = self.batches[0]
        if len(self.batches) == 1:
            return first
        rows = sum(batch.rows for batch in self.batches)
        padded = sum(batch.rows * batch.length for batch in self.batches)
        whole = Batch(
            rows=max(batch.rows for batch in self.batches),
            cut_at=min(batch.cut_at for batch in self.batches),
            ended_at=max(batch.ended_at for batch in self.batches),
            run_s=sum(batch.run_s for batch in self.batches),
            length=-(-padded // rows),
            runs=max(batch.runs for batch in self.batches),
        )
        # Of the padding it is the share that matters.
        work = sum(batch.work for batch in self.batches)
        whole.work = round(work / padded * whole.rows * whole.length) if padded else 0
        return whole


class Part(Generic[In, Out]):
    """The reply of one part: keeps its result until all parts of the whole are there."""

    ended_whole = False
    """Whether it was with this part that the whole got its answer, or its error."""

    def __init__(self, whole: Ticket[In, Out], index: int, results: _Results[Out]) -> None:
        self.whole, self._index, self.results = whole, index, results

    def done(self) -> bool:
        return self.whole.reply.done()

    def set_result(self, result: Out, /) -> None:
        results = self.results
        results.of_parts[self._index] = result
        results.missing -= 1
        if results.missing:
            return
        self.ended_whole = True
        if results.batches:
            self.whole.batch = results.batch
        try:
            answer = results.rejoin(results.of_parts)
        except Exception as error:
            # Its neighbours in the batch must not fail with it.
            self.whole.fail(RunFailed(f"its parts do not fit together: {error}"))
        else:
            self.whole.reply.set_result(answer)

    def set_exception(self, exception: BaseException, /) -> None:
        self.ended_whole = True
        self.whole.fail(exception)


def divided(
    whole: Ticket[In, Out],
    max_rows: int,
    divide: Divide[In],
    rejoin: Rejoin[Out],
    *,
    slots: int = 1,
) -> list[Ticket[In, Out]]:
    """Tickets for the parts, each of at most `max_rows` rows, that together answer `whole`.

    slots: how many batches run at one time.
    """
    pieces = divide(whole.payload, max_rows)
    results = _Results(len(pieces), rejoin)
    results.part_s = whole.work_s / len(pieces) / slots
    return [
        _ticket(
            Part(whole, index, results),
            payload,
            rows,
            whole.length,
            whole.alone_s * rows / whole.rows,
            whole.work_s * rows / whole.rows,
        )
        for index, (payload, rows) in enumerate(pieces)
    ]


def rows_apart(
    whole: Ticket[In, Out],
    lengths: Sequence[int],
    apart: Apart[In],
    rejoin: Rejoin[Out],
    costs: Callable[[int], tuple[float, float]],
    *,
    slots: int = 1,
) -> list[Ticket[In, Out]]:
    """Tickets for the rows, each of its own length, that together answer `whole`.

    lengths: of each row. costs: what a row of such a length takes alone, and adds to a batch.
    slots: how many batches run at one time.
    """
    results = _Results(len(lengths), rejoin)
    pieces = apart(whole.payload, lengths)
    parts = [
        _ticket(Part(whole, index, results), payload, 1, length, *costs(length))
        for index, (payload, length) in enumerate(zip(pieces, lengths, strict=True))
    ]
    results.part_s = sum(part.work_s for part in parts) / len(parts) / slots
    return parts


class _PartTicket(Ticket[In, Out]):
    """Tells the reply of its batch. That does not know the ticket, or both were a circle."""

    __slots__ = ()

    @property
    def latest_start(self) -> float:
        """With all parts that are missing before it, for the whole must be in time."""
        reply = self.reply
        assert isinstance(reply, Part)
        return self.deadline - max(self.alone_s, reply.results.left_s)

    def answer(self, result: Out) -> None:
        reply = self.reply
        assert isinstance(reply, Part)
        if not reply.done():
            batches = reply.results.batches
            if self.batch is not None and (not batches or batches[-1] is not self.batch):
                batches.append(self.batch)
            reply.set_result(result)


def _ticket(
    reply: Part[In, Out], payload: In, rows: int, length: int, alone_s: float, work_s: float
) -> Ticket[In, Out]:
    whole = reply.whole
    return _PartTicket(
        payload,
        reply,
        whole.arrived,
        rows,
        length,
        whole.key,
        whole.priority,
        whole.deadline,
        alone_s,
        work_s,
    )

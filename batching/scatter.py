"""From a batch's results to its callers, each its own."""

import logging
from collections.abc import Callable, Sequence

from .errors import DeadlineExceeded, RunFailed
from .ticket import In, Out, Ticket

logger = logging.getLogger(__name__)


def scatter(
    riders: Sequence[Ticket[In, Out]],
    results: Sequence[Out | RunFailed],
    clock: Callable[[], float],
) -> None:
    """Give each rider its own result. A reply that fails to take it disturbs no other.

    The clock is read for each: to write the answers of a large batch takes some time too.
    """
    for ticket, result in zip(riders, results, strict=True):
        try:
            now = clock()
            if now > ticket.deadline:
                ticket.fail(DeadlineExceeded(waited_s=now - ticket.arrived))
            elif isinstance(result, RunFailed):
                ticket.fail(result)
            else:
                ticket.answer(result)
        except Exception:
            logger.exception("a caller could not be answered")

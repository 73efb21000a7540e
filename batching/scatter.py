"""From a batch's results to its callers, each its own."""

import logging
from collections.abc import Sequence

from .errors import DeadlineExceeded, RunFailed
from .ticket import In, Out, Ticket

logger = logging.getLogger(__name__)


def scatter(
    riders: Sequence[Ticket[In, Out]], results: Sequence[Out | RunFailed], now: float
) -> None:
    """Give each rider its own result. A reply that fails to take it disturbs no other."""
    for ticket, result in zip(riders, results, strict=True):
        try:
            if now > ticket.deadline:
                ticket.fail(DeadlineExceeded(waited_s=now - ticket.arrived))
            elif isinstance(result, RunFailed):
                ticket.fail(result)
            else:
                ticket.answer(result)
        except Exception:
            logger.exception("a caller could not be answered")

"""The moments in a ticket's life that somebody may want to count.

They are called on the event loop, between two batches: an observer must be quick.
What it raises is logged, and disturbs nobody.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from .errors import BatchingError
from .ticket import Batch, Ticket


class BatchObserver(Protocol):
    """What a batcher tells."""

    def refused(self, ticket: Ticket[Any, Any], error: BatchingError) -> None:
        """The ticket was not queued, or its time ran out before it could run."""

    def left(self, ticket: Ticket[Any, Any]) -> None:
        """Its caller has gone before it was answered; it waited, or its batch goes on."""

    def batch_cut(self, batch: Batch, tickets: Sequence[Ticket[Any, Any]]) -> None:
        """The tickets leave together."""

    def batch_done(self, batch: Batch, tickets: Sequence[Ticket[Any, Any]]) -> None:
        """The batch ran, well or not, and its callers are answered.

        Of one that could not be carried out, `ended_at` is 0.
        """

"""A model with a batcher in front of it: what answers requests of one name."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from batching import Batch, Batcher, Cores, CostModel, Sample
from batching.tensors import batched, divide, rejoin
from models import Model, Signature, Tensors

from .settings import Settings

PRIORITIES = 10
DEFAULT_PRIORITY = 5
"""1 is the most urgent of so many; what is beyond them counts as the default, as in Triton."""

# Where neither request, model nor server says how long an answer may take: so long,
# or so many times what the request takes alone, whichever is more.
PATIENCE_S = 10.0
PATIENCE = 3


class Answer(NamedTuple):
    """A model's outputs, and how the request fared."""

    outputs: Tensors
    waited_s: float
    batch: Batch | None


class Deployment:
    """One model, its queue and its slots."""

    def __init__(self, model: Model, settings: Settings, cores: Cores) -> None:
        config = model.source.config
        self.model = model
        self.name, self.version = model.source.name, model.source.version
        self.signature: Signature = model.runtime.signature
        self.cost = CostModel(Sample(n, 0, s) for n, s in model.measured.items())
        self.batching = config.batching and self.signature.batched
        max_rows = max(model.measured)
        if config.max_batch_rows is not None:
            max_rows = min(max_rows, config.max_batch_rows)
        self.max_rows = max_rows if self.batching else 1
        slo_ms = config.slo_ms or settings.slo_ms
        self._slo_s = slo_ms / 1e3 if slo_ms else None
        self.batcher: Batcher[Tensors, Tensors] = Batcher(
            batched(model.runtime.run, max_rows=self.max_rows)
            if self.batching
            else self._one_by_one,
            max_rows=self.max_rows,
            max_queue_rows=config.max_queue_rows or settings.max_queue_rows,
            cost=self.cost,
            cores=cores,
            threads=cores.count,
            divide=divide if self.batching else None,
            rejoin=rejoin if self.batching else None,
            clock=time.monotonic,
        )

    def _one_by_one(self, payloads: Sequence[Tensors]) -> list[Tensors]:
        return [self.model.runtime.run(payload) for payload in payloads]

    def patience_s(self, rows: int = 1, length: int = 0) -> float:
        """How long a request may take that does not say itself."""
        if self._slo_s is not None:
            return self._slo_s
        return max(PATIENCE_S, PATIENCE * self.cost.cycle(rows, length))

    def needed_s(self) -> float:
        """Seconds that the smallest request must be given now: a look before it is read."""
        return self.batcher.needed_s()

    async def infer(
        self, inputs: Tensors, *, arrived: float, timeout_s: float | None, priority: int
    ) -> Answer:
        """Run the inputs, together with whoever else is there.

        arrived: when the request came, as an instant of time.monotonic().
        """
        rows, key = self.signature.check(inputs)
        rows = max(1, rows)
        ticket = self.batcher.ticket(
            inputs,
            rows=rows,
            key=key,
            priority=priority if 1 <= priority <= PRIORITIES else DEFAULT_PRIORITY,
            timeout_s=self.patience_s(rows) if timeout_s is None else timeout_s,
            arrived=arrived,
        )
        outputs = await self.batcher.carry(ticket)
        batch = ticket.batch
        return Answer(outputs, batch.cut_at - arrived if batch else 0.0, batch)

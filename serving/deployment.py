"""A model with a batcher in front of it: what answers requests of one name."""

from batching import Batcher, CostModel
from batching.tensors import batched, divide, rejoin
from models import Model, Signature, Tensors

from .settings import Settings


class Deployment:
    """One model, its queue and its slot."""

    def __init__(self, model: Model, settings: Settings) -> None:
        config = model.source.config
        self.model = model
        self.name, self.version = model.source.name, model.source.version
        self.signature: Signature = model.runtime.signature
        self.cost = CostModel(model.measured)
        self.batching = config.batching and self.signature.batched
        max_rows = self.cost.cheapest_rows()
        if config.max_batch_rows is not None:
            max_rows = min(max_rows, config.max_batch_rows)
        self.max_rows = max_rows if self.batching else 1
        self.slo_s = (config.slo_ms or settings.slo_ms) / 1e3
        # One slot: a run uses every core already, and a second would only take
        # them away from the first.
        self.batcher: Batcher[Tensors, Tensors] = Batcher(
            batched(model.runtime.run, max_rows=self.max_rows)
            if self.batching
            else lambda payloads: [model.runtime.run(payload) for payload in payloads],
            max_rows=self.max_rows,
            max_queue_rows=config.max_queue_rows or settings.max_queue_rows,
            divide=divide if self.batching else None,
            rejoin=rejoin if self.batching else None,
        )
        self._batch_s = self.cost.predict(self.max_rows)

    @property
    def wait_s(self) -> float:
        """About how long a request that comes now waits for its answer."""
        return self._batch_s * (2 + self.batcher.waiting_rows // self.max_rows)

"""A model with a batcher in front of it: what answers requests of one name."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any, NamedTuple

from batching import (
    Batch,
    Batcher,
    BatchObserver,
    Cores,
    CostModel,
    QueueFull,
    Reply,
    Sample,
    Ticket,
    TooLate,
    TooManyRows,
)
from batching.isolate import Run
from batching.parts import Apart
from batching.tensors import apart, batched, divide, rejoin
from models import Checked, Model, Signature, Tensors
from models.pipeline import Prepared

from .familiar import Familiars
from .helpers import Helpers, Line, Step, Then
from .observe.statistics import ModelStatistics
from .observe.tracing import Both, Trace, TracedBatches, Tracer
from .settings import Settings
from .wire_form import model_outputs

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

    def __init__(
        self,
        model: Model,
        settings: Settings,
        cores: Cores,
        helpers: Helpers | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """
        helpers: for what goes before and after the model, if anything does.
        tracer: who follows requests; doors ask it for a trace of each, if there is one.
        """
        config, profile = model.source.config, model.profile
        self.model = model
        self.name, self.version = model.source.name, model.source.version
        self.signature: Signature = model.signature
        self.cost = CostModel(Sample(*sample) for sample in profile.samples)
        self.batching = profile.proof.batches
        self.max_rows = profile.max_rows
        if config.max_batch_rows is not None:
            self.max_rows = min(self.max_rows, config.max_batch_rows)
        self._max_queue_rows = config.max_queue_rows or settings.max_queue_rows
        slo_ms = config.slo_ms or settings.slo_ms
        self._slo_s = slo_ms / 1e3 if slo_ms else None
        self.default_patience_s = self.patience_s()
        """Of a request of one row."""
        self.outputs = model_outputs(model)
        self.familiar = Familiars(self.signature.check, _known)
        self._helpers = helpers
        self._line = Line()
        self.tracer = tracer
        self.finishes = finishes = model.pipeline is not None and model.pipeline.has_after
        """Whether something goes after the model."""
        self.statistics = ModelStatistics(predict=self.cost.predict, finishes=finishes)
        observer: BatchObserver = self.statistics
        if tracer is not None:
            observer = Both(observer, TracedBatches(tracer, self.name, self.version))
        self.batcher: Batcher[Tensors, Tensors] = Batcher(
            [self._slot() for _ in range(profile.slots)],
            max_rows=self.max_rows,
            max_queue_rows=self._max_queue_rows,
            cost=self.cost,
            cores=cores,
            threads=profile.threads,
            divide=divide if self.batching else None,
            apart=self._apart(),
            rejoin=rejoin if self.batching else None,
            executor=None,
            observer=observer,
            clock=time.monotonic,
        )

        self.admission = self.batcher.admission

    def _apart(self) -> Apart[Tensors] | None:
        """How rows of moving lengths are told apart, where they may be."""
        padded = {spec.name for spec in self.model.runtime.signature.inputs if spec.pad is not None}
        return partial(apart, padded=padded) if self.batching and padded else None

    def _slot(self) -> Run[Tensors, Tensors]:
        """What runs a batch in one slot."""
        runtime = self.model.runtime
        if not self.batching:
            return lambda payloads: [runtime.run(payload) for payload in payloads]
        padding = {spec.name: spec.pad for spec in runtime.signature.inputs if spec.pad is not None}
        return batched(runtime.run, max_rows=self.max_rows, padding=padding)

    def patience_s(self, rows: int = 1, length: int = 0) -> float:
        """How long a request may take that does not say itself."""
        if self._slo_s is not None:
            return self._slo_s
        return max(PATIENCE_S, PATIENCE * self.cost.at_best(rows, length))

    def needed_s(self, left_s: float, now: float, priority: int) -> float:
        """Seconds that the smallest request must be given now: a look before it is read.

        left_s: what it has; a rough figure will do if that is less. now: an instant of
        time.monotonic(). priority: the best that it may have; 0 for better than any.
        """
        line_s = self._its_helpers.wait_s(self._line, priority) if self._line.rows else 0.0
        enough_s, deadline = left_s - line_s, now + left_s
        return line_s + self.batcher.needed_s(
            priority=priority, deadline=deadline, enough_s=enough_s
        )

    def at_most_s(self) -> float:
        """More than `needed_s` would say, in next to no time."""
        return inf if self._line.rows else self.batcher.at_most_s()

    @property
    def predicted_wait_s(self) -> float:
        """Seconds that a request of one row must be given now, of default priority and patience."""
        priority, deadline = DEFAULT_PRIORITY, time.monotonic() + self.default_patience_s
        batcher_s = self.batcher.needed_s(priority=priority, deadline=deadline)
        return self._line_s(1, priority) + batcher_s

    @property
    def waiting_rows(self) -> int:
        """Rows in the queue and in the line before it."""
        return self._line.rows + self.batcher.waiting_rows

    def _line_s(self, rows: int, priority: int) -> float:
        """Seconds until rows that came now are ready for the queue; 0 where no line is.

        Who finds nobody of his own model there is let in: what was learned may be wrong, and can
        only be learned anew by a step.
        """
        line = self._line
        wait_s = self._its_helpers.wait_s(line, priority) if line.rows else 0.0
        return wait_s + line.before.predict(rows) if wait_s else 0.0

    async def infer(
        self,
        inputs: Tensors,
        *,
        arrived: float,
        timeout_s: float | None,
        priority: int,
        trace: Trace | None = None,
    ) -> Answer:
        """Run the inputs, together with whoever else is there.

        arrived: when the request came, as an instant of time.monotonic().
        trace: the request's, from our tracer; who asked for it ends it.
        """
        length = 0
        lengths: Sequence[int] = ()
        pipeline = self.model.pipeline
        try:
            if pipeline:
                prepared: Prepared = await self._came(
                    partial(
                        self.prepare,
                        inputs,
                        arrived=arrived,
                        timeout_s=timeout_s,
                        priority=priority,
                    )
                )
                inputs, length = prepared.tensors, prepared.length
                lengths = prepared.lengths
                checked = self.model.runtime.signature.check(inputs)
            else:
                checked = self.signature.check(inputs)
        except asyncio.CancelledError:
            self.statistics.gone(arrived)
            raise
        except Exception as error:
            self.statistics.failed(error)
            raise
        ticket = self._ticket(inputs, checked, length, arrived, timeout_s, priority)
        ticket.trace = trace
        if pipeline and pipeline.has_after:
            outputs = await self._finished(ticket, lengths, pipeline.after)
        else:
            outputs = await self.batcher.carry(ticket, lengths=lengths)
        batch = ticket.batch
        return Answer(outputs, batch.cut_at - arrived if batch else 0.0, batch)

    async def _finished(
        self,
        ticket: Ticket[Tensors, Tensors],
        lengths: Sequence[int],
        after: Callable[[Tensors], Tensors],
    ) -> Tensors:
        """A request's outputs after what follows the model. It is counted once, by its end."""
        has_run = False
        outputs: Tensors
        try:
            outputs = await self.batcher.carry(ticket, lengths=lengths)
            has_run = True
            step = partial(after, outputs)
            outputs = await self._came(partial(self._its_helpers.after, self._line, step))
        except asyncio.CancelledError:
            if not (ticket.left or ticket.failed):
                self.statistics.left(ticket)
            raise
        except Exception as error:
            if has_run:
                self.statistics.finished(ticket, error)
            raise
        self.statistics.finished(ticket)
        return outputs

    @property
    def _its_helpers(self) -> Helpers:
        assert self._helpers is not None, "a model with a pipeline needs helpers"
        return self._helpers

    async def _came(self, start: Callable[[Then], Step]) -> Any:
        """What comes of a step, for who can wait for it; who is cancelled leaves the line."""
        came: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        step = start(partial(_settle, came))
        try:
            return await came
        except asyncio.CancelledError:
            self._its_helpers.discard(step)
            raise
        finally:
            # An error holds this frame: with the future that holds the error it were a circle.
            del came, step

    def prepare(
        self,
        inputs: Tensors,
        then: Then,
        *,
        arrived: float,
        timeout_s: float | None,
        priority: int,
    ) -> Step:
        """What goes before the model, for who then calls `put`.

        then: told of the Prepared that came of it, or of what it raised. Raises what is wrong
        with the inputs at first sight, and a Rejected if there is no room or no time for it; who
        calls tells `statistics`.
        """
        pipeline, line, helpers = self.model.pipeline, self._line, self._its_helpers
        assert pipeline is not None
        rows = max(1, self.signature.check(inputs).rows)
        limit = self._max_queue_rows
        if rows > limit:
            # Before the pipeline makes more of them.
            raise TooManyRows(rows=rows, limit=limit)
        waiting = self.waiting_rows
        if rows + waiting > limit:
            retry_after_s = (rows + waiting - limit) * line.before.mean_row_s
            raise QueueFull(rows=rows, waiting=waiting, limit=limit, retry_after_s=retry_after_s)
        priority = _known(priority)
        deadline = arrived + (self.patience_s(rows) if timeout_s is None else timeout_s)
        if line_s := self._line_s(rows, priority):
            needed_s = line_s + self.batcher.needed_s(rows, priority=priority, deadline=deadline)
            allowed_s = deadline - time.monotonic()
            if needed_s > allowed_s:
                raise TooLate(needed_s=needed_s, allowed_s=allowed_s)
        return helpers.before(
            line,
            partial(pipeline.before, inputs),
            then,
            rows=rows,
            priority=priority,
            arrived=arrived,
            # What it makes may be of fewer rows.
            deadline=deadline - self.cost.at_best(1),
        )

    def finish(self, outputs: Tensors, then: Then) -> Step:
        """What goes after the model. `then`: told what came of it, which it tells `statistics`."""
        assert self.model.pipeline is not None
        step = partial(self.model.pipeline.after, outputs)
        return self._its_helpers.after(self._line, step, then)

    def discard(self, step: Step) -> None:
        """Its caller has left: what has not begun never will, and nobody is told."""
        self._its_helpers.discard(step)

    def put(
        self,
        inputs: Tensors,
        reply: Reply[Tensors],
        *,
        arrived: float,
        timeout_s: float | None,
        priority: int,
        trace: Trace | None = None,
        length: int = 0,
        lengths: Sequence[int] = (),
    ) -> Ticket[Tensors, Tensors]:
        """`infer` for a caller with a reply of its own, who also sees to what goes around it.

        inputs: the model's own; `prepare` makes them where something goes before it. The reply
        gets the model's outputs; `finish` makes the caller's of them where it `finishes`.
        length, lengths: see Prepared.
        Raises what `infer` raises before anything waits; everything later goes to the reply.
        """
        try:
            checked = self.model.runtime.signature.check(inputs)
        except Exception as error:
            self.statistics.failed(error)
            raise
        ticket = self._ticket(inputs, checked, length, arrived, timeout_s, priority, reply)
        ticket.trace = trace
        self.batcher.put(ticket, lengths=lengths)
        return ticket

    def _ticket(
        self,
        inputs: Tensors,
        checked: Checked,
        length: int,
        arrived: float,
        timeout_s: float | None,
        priority: int,
        reply: Reply[Tensors] | None = None,
    ) -> Ticket[Tensors, Tensors]:
        rows = max(1, checked.rows)
        if timeout_s is None:
            alike = rows == 1 and not length
            timeout_s = self.default_patience_s if alike else self.patience_s(rows, length)
        return self.batcher.ticket(
            inputs,
            rows=rows,
            length=length,
            key=checked.key,
            priority=_known(priority),
            timeout_s=timeout_s,
            arrived=arrived,
            reply=reply,
        )


def _known(priority: int) -> int:
    return priority if 1 <= priority <= PRIORITIES else DEFAULT_PRIORITY


def _settle(future: asyncio.Future[Any], came: Any) -> None:
    if future.done():
        return
    if isinstance(came, Exception):
        future.set_exception(came)
    else:
        future.set_result(came)

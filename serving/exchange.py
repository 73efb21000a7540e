"""One inference request that is answered without a task: from its head to its answer."""

import time
from typing import TYPE_CHECKING

from batching import Ticket, TooLate
from models import Tensors
from models.pipeline import Prepared

from .deployment import Deployment
from .errors import reply_to
from .gate import Head, reply_with, says_more
from .helpers import Step
from .observe.tracing import Trace
from .preface import Known
from .protocol import InferRequest, InvalidRequest, decode, encode
from .timing import server_timing

if TYPE_CHECKING:
    from .door import Door


class Exchange:
    """One inference request and its answer, in the place of uvicorn's own cycle.

    It is the reply that a ticket carries, and has what uvicorn's protocol looks at:
    whether the response is complete, whether to keep the connection, and an event
    that is set when the connection is lost.
    """

    __slots__ = (
        "_arrived",
        "_deployment",
        "_door",
        "_finishing",
        "_request",
        "_step",
        "_ticket",
        "body",
        "disconnected",
        "head",
        "keep_alive",
        "refusal",
        "response_complete",
        "target",
        "trace",
    )

    def __init__(self, door: "Door", deployment: Deployment, head: Head, arrived: float) -> None:
        self._door = door
        self._deployment = deployment
        self.head = head
        self._arrived = arrived
        self._request: InferRequest | None = None
        self._ticket: Ticket[Tensors, Tensors] | None = None
        self._finishing = False
        self._step: Step | None = None
        self.body: bytes | bytearray = b""
        self.target: tuple[str, str | None] | None = None
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self.refusal: TooLate | None = None
        """What a first look at the head has said, if it said no."""
        self.trace: Trace | None = None
        """Where there is a tracer, and it follows this request."""

    # --- what uvicorn's protocol looks at

    @property
    def message_event(self) -> "Exchange":
        return self

    def set(self) -> None:
        """Something has happened to the connection: if it is lost, our place is free."""
        if not self.disconnected:
            return
        if self.trace is not None:
            self.trace.left()
            self.trace = None
        if self._step is not None:
            self._deployment.discard(self._step)
            self._step = None
        ticket = self._ticket
        if ticket is not None:
            self._deployment.batcher.discard(ticket)
            if self._finishing and not (ticket.left or ticket.failed):
                self._deployment.statistics.left(ticket)
            self._ticket = None
            del self._deployment
        elif self._request is not None:  # it is being prepared
            self._deployment.statistics.gone(self._arrived)
            self._request = None
            del self._deployment

    # --- what the batcher looks at

    def done(self) -> bool:
        return self.disconnected or self.response_complete

    def set_result(self, outputs: Tensors, /) -> None:
        if self._deployment.finishes:
            self._finishing = True
            try:
                self._step = self._deployment.finish(outputs, self._finished)
            except Exception as error:
                self._finished(error)
        else:
            self._answer(outputs)

    def _finished(self, outputs: Tensors | Exception) -> None:
        """What goes after the model is done."""
        ticket = self._ticket
        if ticket is None:  # its caller has left
            return
        self._finishing = False
        self._step = None
        if isinstance(outputs, Exception):
            self._deployment.statistics.finished(ticket, outputs)
            self.fail(outputs)
            return
        self._deployment.statistics.finished(ticket)
        self._answer(outputs)

    def _answer(self, outputs: Tensors) -> None:
        ticket, request = self._ticket, self._request
        assert ticket is not None
        assert request is not None
        began = time.monotonic()
        try:
            deployment = self._deployment
            body, json_length = encoded = encode(
                deployment.name,
                deployment.version,
                request,
                outputs,
                deployment.outputs,
            )
        except Exception as error:
            self.fail(error)
            return
        timing = None
        if (batch := ticket.batch) is not None:
            waited_s = batch.cut_at - ticket.arrived
            timing = server_timing(batch, waited_s, time.monotonic() - began)
        accepted = self.head.accepted
        if accepted is not None and accepted.wanted_for(len(body)):
            self._door.compress(self, reply_with(encoded, timing), accepted)
        elif timing is None or json_length is not None or not self.keep_alive:
            self._door.finish(self, reply_with(encoded, timing))
        else:
            self._door.answer(self, timing, body)

    def set_exception(self, error: BaseException, /) -> None:
        if not isinstance(error, Exception):
            raise error
        self.fail(error)

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        if self.trace is not None:
            self.trace.end(error)
        self._door.finish(self, reply_to(error))

    def turn_away(self, error: Exception) -> None:
        """Answer with an error that nobody else has counted."""
        self._deployment.statistics.failed(error)
        self.fail(error)

    def end(self) -> None:
        """It is answered, or about to be. Let go of everything, and above all of the ticket.

        A ticket holds us as its reply: as a circle, every request would be left to
        the garbage collector, which would then take 30 ms at a time.
        """
        self.response_complete = True
        if self.trace is not None:
            self.trace.end()
            self.trace = None
        del self._deployment  # it goes, if it was replaced, with the last request that holds it
        self._ticket = self._request = self._step = None
        self.body = b""

    # --- the way of the request

    def begin(self, body: bytes) -> None:
        """All of the body is here."""
        try:
            # A refusal stands, unless the body says something else.
            if self.refusal and not says_more(body, self.head.timeout_s):
                self.turn_away(self.refusal)
                return
            request = self._request = decode(body, self.head.json_length)
            self._deployment.outputs.check(request)
            if self._deployment.model.pipeline is None:
                self._put(request)
            else:
                self._prepare(request)
        except InvalidRequest as error:
            self.turn_away(error)
        except Exception as error:
            self.fail(error)

    def begin_again(self, known: Known, data: bytes, at: int, *, in_time: bool) -> None:
        """`begin` for a body behind a head that is known: what is around its numbers may be too.

        data, at: the request, and where its body begins.
        in_time: a first look has just said that there is time for a request that says nothing more.
        """
        deployment = self._deployment
        familiar = deployment.familiar.get(known)
        if familiar is None:
            self._learn(known, data[at:])
            return
        envelope, alike, more = familiar
        try:
            inputs = envelope.opened(data, at)
            if inputs is not None:
                self._request = envelope.like
                ticket = deployment.batcher.put_alike(
                    inputs, self, self._arrived, alike, in_time=in_time and not more
                )
                # With it may have come the turn of a batch that it is too late for.
                if not self.response_complete:
                    self._ticket = ticket
                return
        except InvalidRequest as error:
            self.turn_away(error)
            return
        except Exception as error:
            self.fail(error)
            return
        self.begin(data[at:])

    def _learn(self, known: Known, body: bytes) -> None:
        """`begin`, and see whether what is around the body's numbers is likely to come again."""
        deployment, head = self._deployment, self.head
        self.begin(body)
        request = self._request
        if (
            request is None
            or deployment.model.pipeline is not None
            or not deployment.familiar.another_lesson(known)
        ):
            return
        deployment.familiar.learn(
            known, body, head.json_length, request, head.timeout_s, deployment.patience_s
        )

    def _prepare(self, request: InferRequest) -> None:
        timeout_s = request.timeout_s
        try:
            self._step = self._deployment.prepare(
                request.inputs,
                self._go_on,
                arrived=self._arrived,
                timeout_s=self.head.timeout_s if timeout_s is None else timeout_s,
                priority=request.priority,
            )
        except Exception as error:
            self.turn_away(error)

    def _go_on(self, prepared: Prepared | Exception) -> None:
        """What goes before the model is done."""
        self._step = None
        request = self._request
        if self.disconnected or request is None:
            return
        if isinstance(prepared, Exception):
            self.turn_away(prepared)
            return
        try:
            self._put(request, prepared)
        except Exception as error:
            self.fail(error)

    def _put(self, request: InferRequest, prepared: Prepared | None = None) -> None:
        timeout_s = request.timeout_s
        ticket = self._deployment.put(
            prepared.tensors if prepared else request.inputs,
            self,
            arrived=self._arrived,
            timeout_s=self.head.timeout_s if timeout_s is None else timeout_s,
            priority=request.priority,
            trace=self.trace,
            length=prepared.length if prepared else 0,
            lengths=prepared.lengths if prepared else (),
        )
        if not self.response_complete:
            self._ticket = ticket

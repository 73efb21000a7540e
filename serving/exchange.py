"""One inference request that is answered without a task: from its head to its answer."""

import time
from typing import TYPE_CHECKING

from batching import Ticket, TooLate
from models import Tensors

from .deployment import Answer, Deployment
from .errors import reply_to
from .gate import PEEK_BYTES, Head, answer_with
from .observe.tracing import Trace
from .protocol import InferRequest, InvalidRequest, decode

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
        "_request",
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

    def __init__(
        self,
        door: "Door",
        deployment: Deployment,
        head: Head,
        *,
        target: tuple[str, str | None],
        keep_alive: bool,
        arrived: float,
        refusal: TooLate | None = None,
        trace: Trace | None = None,
    ) -> None:
        """
        refusal: what a first look at the head has said, if it said no.
        trace: where there is a tracer, and it follows this request.
        """
        self._door = door
        self._deployment = deployment
        self.head = head
        self._arrived = arrived
        self._request: InferRequest | None = None
        self._ticket: Ticket[Tensors, Tensors] | None = None
        self.body = bytearray()
        self.target = target
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        self.refusal = refusal
        self.trace = trace

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
        if self._ticket is not None:
            self._deployment.batcher.discard(self._ticket)
            self._ticket = None
            del self._deployment

    # --- what the batcher looks at

    def done(self) -> bool:
        return self.disconnected or self.response_complete

    def set_result(self, outputs: Tensors, /) -> None:
        ticket, request = self._ticket, self._request
        assert ticket is not None
        assert request is not None
        batch = ticket.batch
        waited_s = batch.cut_at - ticket.arrived if batch else 0.0
        try:
            reply = answer_with(self._deployment, request, Answer(outputs, waited_s, batch))
        except Exception as error:
            self.fail(error)
            return
        accepted = self.head.accepted
        if accepted is not None and accepted.wanted_for(len(reply.body)):
            self._door.compress(self, reply, accepted)
        else:
            self._door.finish(self, reply)

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
        self._ticket = self._request = None
        self.body = bytearray()

    # --- the way of the request

    def begin(self, body: bytes) -> None:
        """All of the body is here."""
        try:
            # A refusal stands, unless the body says that its caller has more time.
            if self.refusal and b'"timeout"' not in body:
                self.turn_away(self.refusal)
                return
            request = self._request = decode(body, self.head.json_length)
            self._deployment.outputs.check(request)
            self._ticket = self._deployment.put(
                request.inputs,
                self,
                arrived=self._arrived,
                timeout_s=self.head.timeout_s if request.timeout_s is None else request.timeout_s,
                priority=request.priority,
                trace=self.trace,
            )
        except InvalidRequest as error:
            self.turn_away(error)
        except Exception as error:
            self.fail(error)


def too_late(deployment: Deployment, head: Head, arrived: float) -> TooLate | None:
    """A first look, before a body is read: the refusal, if the answer would come too late."""
    patience_s = deployment.patience_s() if head.timeout_s is None else head.timeout_s
    # What has passed since the bytes came is gone.
    left_s = patience_s - (time.monotonic() - arrived)
    needed_s = deployment.needed_s(left_s)
    return TooLate(needed_s=needed_s, allowed_s=patience_s) if needed_s > left_s else None


def may_say_more(head: Head) -> bool:
    """Whether the body may still say that its caller has more time, and is worth reading."""
    return head.timeout_s is None and 0 < head.length <= PEEK_BYTES

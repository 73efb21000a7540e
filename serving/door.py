"""The hot path's own door: uvicorn's protocol, which answers inference without a task.

    bytes ─► parser ─► head ─► first look ─► body ─► decode ─► queue … scatter ─► encode ─► write

An inference request is answered from the parser's callbacks and from the batch that
carried it: no task, no ASGI conversation. Every other request, and whatever is out of
the ordinary (pipelining, `Expect`, a slow reader, an access log), goes the way that
uvicorn sends it, to the same code behind the gate.
"""

import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from batching import Ticket, TooLate
from models import Tensors

from .deployment import Answer, Deployment
from .errors import BodyTooLarge, Reply, reply_to
from .gate import PEEK_BYTES, Head, Inference, answer_with, infer_target
from .protocol import InferRequest, decode


class Exchange:
    """One inference request and its answer, in the place of uvicorn's own cycle.

    It is the reply that a ticket carries, and has what the parent class looks at:
    whether the response is complete, whether to keep the connection, and an event
    that is set when the connection is lost.
    """

    __slots__ = (
        "_arrived",
        "_deployment",
        "_door",
        "_head",
        "_request",
        "_ticket",
        "body",
        "disconnected",
        "keep_alive",
        "refusal",
        "response_complete",
    )

    def __init__(self, door: "Door", deployment: Deployment, head: Head, keep_alive: bool) -> None:
        self._door = door
        self._deployment = deployment
        self._head = head
        self._arrived = time.monotonic()
        self._request: InferRequest | None = None
        self._ticket: Ticket[Tensors, Tensors] | None = None
        self.body = bytearray()
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False
        patience_s = deployment.patience_s() if head.timeout_s is None else head.timeout_s
        needed_s = deployment.needed_s(patience_s)
        self.refusal = (
            TooLate(needed_s=needed_s, allowed_s=patience_s) if needed_s > patience_s else None
        )

    @property
    def may_say_more(self) -> bool:
        """Whether the body may still say that its caller has more time, and is worth reading."""
        return self._head.timeout_s is None and 0 < self._head.length <= PEEK_BYTES

    # --- what the parent class looks at

    @property
    def message_event(self) -> "Exchange":
        return self

    def set(self) -> None:
        """Something has happened to the connection: if it is lost, our place is free."""
        if self.disconnected and self._ticket is not None:
            self._deployment.batcher.discard(self._ticket)
            self._ticket = None

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
            reply = reply_to(error)
        self._door.finish(self, reply)

    def set_exception(self, error: BaseException, /) -> None:
        if not isinstance(error, Exception):
            raise error
        self._door.finish(self, reply_to(error))

    def end(self) -> None:
        """It is answered, or about to be. Let go of everything, and above all of the ticket.

        A ticket holds us as its reply: as a circle, every request would be left to
        the garbage collector, which would then take 30 ms at a time.
        """
        self.response_complete = True
        self._ticket = self._request = None
        self.body = bytearray()

    # --- the way of the request

    def begin(self) -> None:
        """The body is here."""
        try:
            body = bytes(self.body)
            # A refusal stands, unless the body says that its caller has more time.
            if self.refusal and b'"timeout"' not in body:
                self._door.finish(self, reply_to(self.refusal))
                return
            request = self._request = decode(body, self._head.json_length)
            self._ticket = self._deployment.put(
                request.inputs,
                self,
                arrived=self._arrived,
                timeout_s=self._head.timeout_s if request.timeout_s is None else request.timeout_s,
                priority=request.priority,
            )
        except Exception as error:
            self._door.finish(self, reply_to(error))


class Door(HttpToolsProtocol):
    """One connection. Give uvicorn `functools.partial(Door, inference)` as its `http`."""

    def __init__(self, inference: Inference, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._inference = inference
        self._max_body_bytes = inference.max_body_bytes
        # Set while an inference request of ours is being read.
        self._reading: Exchange | None = None

    def on_headers_complete(self) -> None:
        exchange = self._exchange()
        if exchange is None:
            super().on_headers_complete()
            return
        self._reading = self.cycle = exchange  # type: ignore[assignment]
        if exchange.refusal and not exchange.may_say_more:
            # Nothing of the body is read that was not sent already.
            self.finish(exchange, reply_to(exchange.refusal))

    def on_body(self, body: bytes) -> None:
        exchange = self._reading
        if exchange is None:
            super().on_body(body)
        elif not exchange.response_complete:
            exchange.body += body
            if len(exchange.body) > self._max_body_bytes:
                self.finish(exchange, reply_to(BodyTooLarge(self._max_body_bytes)))

    def on_message_complete(self) -> None:
        exchange = self._reading
        if exchange is None:
            super().on_message_complete()
            return
        self._reading = None
        if not exchange.response_complete:
            exchange.begin()

    def _exchange(self) -> Exchange | None:
        """An exchange for an inference request that is as most are; None for any other."""
        target = infer_target(self.url)
        if (
            target is None
            or self.parser.get_method() != b"POST"
            or self.expect_100_continue
            or self.access_log
            or self.root_path
            or self.limit_concurrency is not None
            or self.flow.write_paused
            or self.pipeline
            or self.parser.should_upgrade()
            or not (self.cycle is None or self.cycle.response_complete)
        ):
            return None
        try:
            deployment = self._inference.deployment(*target)
            head = self._inference.read_head(self.headers)
        except Exception:
            return None  # the way through the gate says what is wrong with it
        if deployment.model.pipeline is not None:
            return None
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        return Exchange(self, deployment, head, keep_alive)

    def finish(self, exchange: Exchange, reply: Reply) -> None:
        """Write an answer, and go on to whatever comes next on this connection."""
        if exchange.done():
            return
        exchange.end()
        parts = [STATUS_LINE[reply.status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in reply.headers:
            if name == b"connection":
                exchange.keep_alive = False
            else:
                parts += (name, b": ", value, b"\r\n")
        if not exchange.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"content-length: %d\r\n\r\n" % len(reply.body), reply.body)
        self.transport.write(b"".join(parts))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

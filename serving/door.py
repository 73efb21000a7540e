"""The hot path's own door: uvicorn's protocol, which answers inference without a task.

    bytes ─► parser ─► head ─► first look ─► body ─► decode ─► queue … scatter ─► encode ─► write
         └─► the head of the last request again? ──┘

An inference request is answered from the parser's callbacks and from the batch that
carried it: no task, no ASGI conversation. Every other request, and whatever is out of
the ordinary (pipelining, `Expect`, a slow reader, an access log), goes the way that
uvicorn sends it, to the same code behind the gate.

Callers who stay send the same head again and again, with another body: it is parsed
once. While it is the same, byte for byte but for the length of the body, and all of the
request came in one read, its body is where it was before.
"""

import time
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .content_coding import compressed
from .deployment import DEFAULT_PRIORITY
from .errors import BodyTooLarge, Reply, reply_to
from .exchange import Exchange
from .gate import (
    PEEK_BYTES,
    Head,
    Inference,
    first_look,
    infer_target,
    may_say_more,
    says_more,
)
from .preface import Known, Preface, known_of, written
from .protocol.compression import Accepted

MAX_HEAD_BYTES = 65_536
"""Of a request's line and headers, beyond the read in which they begin."""

# Whose heads differ this many times in a row is not one who repeats them.
_MISSES = 8


class Door(HttpToolsProtocol):
    """One connection. For uvicorn's `http`: `functools.partial(Door, inference, Preface())`."""

    # What every request touches lies side by side in the object. Under overload a server
    # spends its time on waiting for memory: thousands of connections, each of them cold.
    __slots__ = (
        "_begun",
        "_ended",
        "_free",
        "_head_bytes",
        "_inference",
        "_known",
        "_last",
        "_loop",
        "_misses",
        "_ordinary",
        "_preface",
        "_reading",
        "_resting_since",
        "_state",
        "_write",
    )

    def __init__(self, inference: Inference, preface: Preface, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._inference = inference
        self._preface = preface
        self._max_body_bytes = inference.max_body_bytes
        self._state = self.server_state
        self._loop = self.loop
        # Whether an answer can be written as soon as it is there: nothing is under way,
        # and what was written is gone.
        self._free = True
        # Set while an inference request of ours is being read.
        self._reading: Exchange | None = None
        # Messages that the parser has begun and ended.
        self._begun = self._ended = 0
        # Of the head that is being read; -1 while none is.
        self._head_bytes = -1
        # The last inference request that was read to its end, and its number.
        self._last: tuple[int, tuple[str, str | None], Head] | None = None
        self._known: Known | None = None
        self._misses = 0
        # Since when nothing is under way; None while something is.
        self._resting_since: float | None = None
        self._ordinary = not (self.access_log or self.root_path) and self.limit_concurrency is None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._write = transport.write

    # --- the end of the connection

    _draining = False

    def drain(self) -> None:
        """Each answer from now on is the last on this connection, and says so."""
        self._draining = True
        # What is known by its head gets answers that keep the connection.
        self._known, self._misses = None, _MISSES
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    @property
    def reading(self) -> bool:
        """Whether a part of a request has come, and nothing is under way for it yet."""
        return self._begun != self._ended and (self.cycle is None or self.cycle.response_complete)

    @property
    def idle(self) -> bool:
        """Whether nothing of a request is here that is not answered."""
        return self._begun == self._ended and (self.cycle is None or self.cycle.response_complete)

    def shutdown(self) -> None:
        """What uvicorn calls; a request that has come in part is not cut off."""
        if self.idle:
            self.transport.close()
        else:
            self.drain()

    # --- bytes come

    def data_received(self, data: bytes) -> None:
        known = self._known
        if (
            known is not None
            and self._free
            and self._begun == self._ended
            and data.startswith(known.before)
            and self._again(known, data)
        ):
            return
        begun = self._begun
        between = begun == self._ended
        super().data_received(data)
        if self._head_bytes >= 0 and self._begun == begun:
            self._head_bytes += len(data)  # all of it, for what began in an earlier read
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._turn_away(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes")
        if between and self._ended == self._begun == begun + 1 and self._misses < _MISSES:
            self._remember(data)

    def _again(self, known: Known, data: bytes) -> bool:
        """Take a request whose head is known; False where it is not, or has another meaning now."""
        at, size = known.body_at(data), len(data)
        if not at or size - at > self._max_body_bytes:
            return False
        try:
            deployment = self._inference.deployment(*known.target)
        except Exception:
            return False  # the long way says what is wrong
        if deployment.tracer is not None:
            return False
        head = known.head
        timeout_s, small = head.timeout_s, size <= PEEK_BYTES
        # Its bytes came while the last turn of the loop went on.
        arrived = self._loop.time() - deployment.admission.turn_s / 2
        patience_s = deployment.default_patience_s if timeout_s is None else timeout_s
        now = time.monotonic()
        left_s = patience_s - (now - arrived)
        # Mostly a figure that is surely too large will do, and costs next to nothing.
        if (needed_s := deployment.at_most_s()) > left_s:
            needed_s = deployment.needed_s(left_s, now, DEFAULT_PRIORITY if small else 0)
        if needed_s > left_s and not (small and says_more(data, timeout_s)):
            # Of all that this server does under overload, this is the most.
            state = self._state
            self._write(self._preface.refusal(state, needed_s, patience_s))
            state.total_requests += 1
            deployment.statistics.too_late()
            self._resting_since = self._loop.time()
            return True
        self._resting_since = None
        self._free = False
        self._misses = 0
        exchange = Exchange(self, deployment, head, arrived)
        self.cycle = exchange  # type: ignore[assignment]
        # What was asked for a better priority than it has says nothing.
        exchange.begin_again(known, data, at, in_time=small and needed_s <= left_s)
        return True

    def _remember(self, data: bytes) -> None:
        """All of a request and nothing else came in one read: was it one to remember?"""
        if self._last is None or self._last[0] != self._ended:
            return
        self._misses += 1
        if known := known_of(data, *self._last[1:]):
            # One for all connections that send the same: it stays in the cache.
            self._known = self._preface.known(known)

    # --- the parser speaks

    def on_message_begin(self) -> None:
        self._begun += 1
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_bytes = -1
        exchange = self._exchange()
        if exchange is None:
            self._free = False
            super().on_headers_complete()
            if self._draining:
                self.cycle.keep_alive = False
            return
        self._reading = self.cycle = exchange  # type: ignore[assignment]
        self._free = False
        if exchange.refusal and not may_say_more(exchange.head):
            # Nothing of the body is read that was not sent already.
            exchange.turn_away(exchange.refusal)

    def on_body(self, body: bytes) -> None:
        exchange = self._reading
        if exchange is None:
            super().on_body(body)
        elif not exchange.response_complete:
            exchange.body += body
            if len(exchange.body) > self._max_body_bytes:
                exchange.turn_away(BodyTooLarge(self._max_body_bytes))

    def on_message_complete(self) -> None:
        self._ended += 1
        exchange = self._reading
        if exchange is None:
            super().on_message_complete()
            return
        self._reading = None
        if exchange.keep_alive and self.url and exchange.target:
            self._last = (self._ended, exchange.target, exchange.head)
        if not exchange.response_complete:
            exchange.begin(bytes(exchange.body))

    def _exchange(self) -> Exchange | None:
        """An exchange for an inference request that is as most are; None for any other."""
        target = infer_target(self.url)
        if (
            target is None
            or not self._ordinary
            or self.parser.get_method() != b"POST"
            or self.expect_100_continue
            or self.parser.should_upgrade()
            or not self._free
        ):
            return None
        try:
            deployment = self._inference.deployment(*target)
            head = self._inference.read_head(self.headers)
        except Exception:
            return None  # the way through the gate says what is wrong with it
        keep_alive = (
            not self._draining
            and self.parser.get_http_version() != "1.0"
            and self.parser.should_keep_alive()
        )
        arrived = self.loop.time() - deployment.admission.turn_s / 2
        trace = None
        if deployment.tracer is not None:
            trace = deployment.tracer.request(
                self.headers, model=deployment.name, version=deployment.version, arrived=arrived
            )
        exchange = Exchange(self, deployment, head, arrived)
        exchange.target, exchange.keep_alive, exchange.trace = target, keep_alive, trace
        exchange.refusal = first_look(deployment, head, arrived)[0]
        exchange.body = bytearray()
        return exchange

    # --- what is no request

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for bytes that are not HTTP; it would send plain text."""
        self._turn_away(400, "this is not a request that HTTP/1.1 knows")

    def _turn_away(self, status: int, says: str) -> None:
        headers = [(b"content-type", b"application/json")]
        reply = Reply(status, orjson.dumps({"error": says}), headers)
        self.transport.write(written(self._preface.of(self._state), reply, keep_alive=False))
        self.transport.close()

    # --- answers go

    def finish(self, exchange: Exchange, reply: Reply) -> None:
        """Write an answer, and go on to whatever comes next on this connection."""
        if exchange.done():
            return
        exchange.end()
        if reply.status != 200 and any(name == b"connection" for name, _ in reply.headers):
            exchange.keep_alive = False
        preface = self._preface.of(self.server_state)
        self.transport.write(written(preface, reply, keep_alive=exchange.keep_alive))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def answer(self, exchange: Exchange, timing: bytes, body: bytes) -> None:
        """`finish` with JSON for a caller who stays: what most answers are, in one step."""
        exchange.end()
        state, preface = self._state, self._preface
        if state.default_headers is not preface.headers:
            preface.renew(state)
        write, ok = self._write, preface.ok
        write(b"%b%b\r\ncontent-length: %d\r\n\r\n%b" % (ok, timing, len(body), body))
        self.on_response_complete()

    def compress(self, exchange: Exchange, reply: Reply, accepted: Accepted) -> None:
        """Finish with a large answer that its caller can read compressed: that takes a task."""
        task = self.loop.create_task(self._compress(exchange, reply, accepted))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _compress(self, exchange: Exchange, reply: Reply, accepted: Accepted) -> None:
        try:
            reply = await compressed(reply, accepted)
        except Exception as error:
            reply = reply_to(error)
        self.finish(exchange, reply)

    def on_response_complete(self) -> None:
        flow, cycle = self.flow, self.cycle
        if self.pipeline or flow.read_paused:
            super().on_response_complete()
            self._see_whether_free()
            return
        self._free = not flow.write_paused and (cycle is None or cycle.response_complete)
        self._state.total_requests += 1
        if not self.transport.is_closing():
            self._resting_since = self._loop.time()
            if self.timeout_keep_alive_task is None:
                self._rest()

    def _see_whether_free(self) -> None:
        self._free = (
            (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
            and not self.pipeline
        )

    def pause_writing(self) -> None:
        super().pause_writing()
        self._free = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self._see_whether_free()

    # --- an idle connection is closed after a time; uvicorn sets a timer for every request

    def _rest(self) -> None:
        """Nothing is under way, for the first time: from now on there is a timer."""
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _unset_keepalive_if_required(self) -> None:
        # The timer goes on, for the next rest, which mostly begins before it ends.
        self._resting_since = None

    def timeout_keep_alive_handler(self) -> None:
        # Busy or not, there is always a timer: to set one is no request's work.
        since = self.loop.time() if self._resting_since is None else self._resting_since
        left_s = since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self.timeout_keep_alive_task = self.loop.call_later(
                left_s, self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        # Each holds the other: as a circle, every connection would be left to the garbage
        # collector, which comes after some thousands of them.
        self._reading = self.cycle = None  # type: ignore[assignment]

"""A call from its question to its answer, without I/O.

A flow is a generator: it yields what it needs done, an Ask or a Pause, and is sent what
came of it. Encoding, deadlines, retries and what an error means are decided here, once; the
two clients differ only in who does what is yielded: one blocks, the other awaits.
"""

import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote

from .answer import Answer
from .effects import Ask, Flow, NoReply, Pause
from .errors import (
    DeadlineExceeded,
    InvalidRequest,
    JitneyError,
    ModelNotFound,
    ServerFailed,
    Unavailable,
    error_of,
)
from .http import Address, Reply, address_of, head_of
from .metadata import ModelMetadata, ModelState, metadata_in, states_in
from .retry import Attempts, RetryBudget, retry_after_s
from .wire import Body, Question, decode, encode

PATIENCE_S: Final = 60.0
"""How long a call may take where its caller does not say."""
GRACE_S: Final = 0.1
"""The server knows the deadline and says no by itself: so much longer for its words."""
REFRESH_S: Final = 1.0
"""What is known of a model is not doubted before this age."""
POLL_S: Final = (0.02, 1.0)
"""The first and the longest pause of who waits until a server is ready."""


Key: TypeAlias = tuple[str, str | int | None]
"""A model's name and version."""


class Known(NamedTuple):
    """A model's metadata, and since when it is known."""

    metadata: ModelMetadata
    since: float


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a client asks. Both clients take these; a value that cannot be is a ValueError."""

    url: str
    timeout_s: float | None = None
    """For calls that do not say themselves; None: the server's own rule, and 60 s of patience."""
    retries: int = 2
    """How often a call may be sent again."""
    retry_budget: RetryBudget | None = None
    """To share one among clients; None: one of its own."""
    headers: Mapping[str, str] | None = None
    """Sent with every request: an Authorization, for instance."""
    max_connections: int = 256
    """More calls at a time wait for one to be free."""
    ssl_context: ssl.SSLContext | None = None
    """For https; None: what the system trusts."""

    def __post_init__(self) -> None:
        if self.retries < 0 or self.max_connections < 1:
            raise ValueError("retries must be at least 0 and max_connections at least 1")
        _checked(self.timeout_s)


class Core:
    """What one client knows and decides."""

    def __init__(
        self,
        options: Options,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self.options = options
        self.address: Address = address_of(options.url)
        self.head = head_of(
            self.address, {"User-Agent": "jitney-client", **(options.headers or {})}
        )
        self.budget = options.retry_budget or RetryBudget()
        self.known: dict[Key, Known] = {}
        self.tls: ssl.SSLContext | None = None
        if self.address.secure:
            self.tls = options.ssl_context or ssl.create_default_context()
        self.clock = clock
        self._wall_clock = wall_clock
        self._uniform = uniform

    # --- the flows

    def infer(self, question: Question, timeout_s: float | None) -> Flow[Answer]:
        """Ask a model."""
        call = self._call(timeout_s)
        key = question.model, question.version
        path = self._path(*key)
        known = self.known.get(key) or (yield from self._learned(key, call))
        while True:
            try:
                body = encode(question, known.metadata)
                reply = yield from self._answered(call, b"POST", path + b"/infer", body)
            except (InvalidRequest, ModelNotFound) as error:
                # It may be that the model is another one now.
                if call.clock() - known.since < REFRESH_S:
                    raise
                newer = yield from self._learned(key, call)
                if newer.metadata == known.metadata:
                    raise error
                known = newer
                continue
            length = reply.headers.get(b"inference-header-content-length")
            answer = decode(
                reply.body,
                int(length) if length and length.isdigit() else None,
                reply.headers.get(b"server-timing", b"").decode("latin-1"),
            )
            answer.attempts = call.made
            return answer

    def metadata(
        self, model: str, version: str | int | None, timeout_s: float | None
    ) -> Flow[Known]:
        """What a model takes, as it is now."""
        return (yield from self._learned((model, version), self._call(timeout_s)))

    def models(self, timeout_s: float | None) -> Flow[list[ModelState]]:
        """The repository's index."""
        call = self._call(timeout_s)
        reply = yield from self._answered(call, b"POST", self._v2("repository/index"), Body(b""))
        return states_in(reply.body)

    def ready(self, model: str | None, timeout_s: float) -> Flow[str]:
        """Empty if the server, or the model, is ready; else why it is not."""
        call = self._call(timeout_s)
        path = self._path(model, None) + b"/ready" if model else self._v2("health/ready")
        result = yield call.ask(b"GET", path, Body(b""))
        if isinstance(result, Reply) and result.status == 200:
            return ""
        return self._error(result, call).message

    def wait_ready(self, model: str | None, timeout_s: float) -> Flow[None]:
        """Return when it is ready."""
        ends = self.clock() + timeout_s
        pause_s, longest_s = POLL_S
        while why := (yield from self.ready(model, max(1e-3, ends - self.clock()))):
            if self.clock() + pause_s > ends:
                raise DeadlineExceeded(
                    f"{model or 'the server'} is not ready after {timeout_s:g} s: {why}"
                )
            yield Pause(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    # --- what they are made of

    def _learned(self, key: Key, call: "_Call") -> Flow[Known]:
        reply = yield from self._answered(call, b"GET", self._path(*key), Body(b""))
        known = self.known[key] = Known(metadata_in(reply.body), self.clock())
        return known

    def _answered(self, call: "_Call", method: bytes, path: bytes, body: Body) -> Flow[Reply]:
        """The reply, if need be after some attempts. Raises JitneyError."""
        attempts = call.attempts()
        while True:
            attempts.begin()
            call.made = attempts.made
            result = yield call.ask(method, path, body)
            if isinstance(result, Reply) and result.status == 200:
                return result
            assert result is not None
            now = self.clock()
            if isinstance(result, NoReply):
                again = not result.began and not result.late
                if again and result.reused and attempts.again_at_once(now):
                    continue
            else:
                again = result.status in (429, 503)
            error = self._error(result, call)
            pause_s = attempts.pause_s(error, now) if again else None
            if pause_s is None:
                error.attempts = call.made
                try:
                    raise error
                finally:
                    del error  # which would hold this frame, that holds it
            yield Pause(pause_s)

    def _error(self, result: Reply | NoReply | None, call: "_Call") -> JitneyError:
        if isinstance(result, Reply):
            after_s = retry_after_s(
                result.headers.get(b"retry-after"),
                result.headers.get(b"date"),
                self._wall_clock(),
            )
            return error_of(result.status, result.body, after_s)
        assert result is not None
        url = self.address.url
        if result.late:
            return DeadlineExceeded(f"{url} gave no answer within {call.timeout_s:g} s")
        if result.began:
            return ServerFailed(f"{url} broke off in the middle of its answer: {result.why}")
        return Unavailable(f"{url} cannot be reached: {result.why}")

    def _call(self, timeout_s: float | None) -> "_Call":
        _checked(timeout_s)
        if timeout_s is None:
            timeout_s = self.options.timeout_s
        return _Call(self, timeout_s)

    def _path(self, model: str, version: str | int | None) -> bytes:
        path = f"models/{quote(model, safe='')}"
        return self._v2(
            path if version is None else f"{path}/versions/{quote(str(version), safe='')}"
        )

    def _v2(self, path: str) -> bytes:
        return f"{self.address.base}/v2/{path}".encode()


class _Call:
    """One call: when it began, and until when it may last, all attempts together."""

    __slots__ = ("_core", "clock", "deadline", "made", "timeout_s", "until")

    def __init__(self, core: Core, timeout_s: float | None) -> None:
        self._core = core
        self.clock = core.clock
        now = core.clock()
        self.timeout_s = PATIENCE_S if timeout_s is None else timeout_s
        self.deadline = None if timeout_s is None else now + timeout_s
        self.until = now + self.timeout_s + (0.0 if timeout_s is None else GRACE_S)
        self.made = 0
        """Requests sent."""

    def ask(self, method: bytes, path: bytes, body: Body) -> Ask:
        line = b"%b %b HTTP/1.1\r\n" % (method, path)
        return Ask(line, body, self.deadline, self.until)

    def attempts(self) -> Attempts:
        core = self._core
        last_start = self.until if self.deadline is None else self.deadline
        return Attempts(core.options.retries, core.budget, last_start, core._uniform)


def _checked(timeout_s: Any) -> None:
    if timeout_s is not None and not 0 < timeout_s < float("inf"):
        raise ValueError(f"timeout_s must be a number of seconds above 0, got {timeout_s!r}")

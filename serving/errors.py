"""The only place where our errors meet the outside: exception -> HTTP status, gRPC code."""

import logging
from collections.abc import Mapping
from math import ceil
from typing import Final, NamedTuple

import orjson

from batching import (
    BatchingError,
    DeadlineExceeded,
    Draining,
    QueueFull,
    RunFailed,
    TooLate,
    TooManyRows,
)
from models import BadModel, InvalidInput, ModelError, ModelNotFound, ModelNotReady, PipelineFailed

from .protocol import InvalidRequest
from .protocol.compression import CODINGS

logger = logging.getLogger(__name__)


class BodyTooLarge(Exception):
    """More bytes than this server takes in one request."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"the body is larger than the {limit} bytes that this server takes; "
            "send fewer rows at a time, or start it with a larger --max-body-mib"
        )


class UnsupportedEncoding(Exception):
    """The body is encoded in a way that this server does not read."""

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"Content-Encoding {encoding[:40]!r} is not supported; send one of {CODINGS}, or none"
        )


class AdminOff(Exception):
    """Models are loaded and unloaded over the network only where that was asked for."""

    def __init__(self) -> None:
        super().__init__(
            "loading and unloading over the network is off; start the server with --admin"
        )


class OthersSilent(Exception):
    """Other processes of the same server do not say what they have counted."""

    def __init__(self) -> None:
        super().__init__("the other processes of the server do not answer; ask again")


class Status(NamedTuple):
    """An error's number over HTTP, and its name over gRPC."""

    http: int
    grpc: str


# The nearest class of an exception counts, so that a subclass may have its own.
# Who is refused for now gets RESOURCE_EXHAUSTED, though Triton says UNAVAILABLE: clients
# send again by themselves what was UNAVAILABLE, which makes an overload worse.
STATUS: Final[Mapping[type[Exception], Status]] = {
    InvalidRequest: Status(400, "INVALID_ARGUMENT"),
    InvalidInput: Status(400, "INVALID_ARGUMENT"),
    # Triton says UNAVAILABLE to what it was told not to allow. But that is what clients try
    # again, and trying again never helps here.
    AdminOff: Status(403, "PERMISSION_DENIED"),
    # As Triton numbers a load that failed. What the engine raises names no files.
    BadModel: Status(400, "INVALID_ARGUMENT"),
    ModelNotFound: Status(404, "NOT_FOUND"),
    BodyTooLarge: Status(413, "RESOURCE_EXHAUSTED"),
    TooManyRows: Status(413, "INVALID_ARGUMENT"),
    UnsupportedEncoding: Status(415, "UNIMPLEMENTED"),
    QueueFull: Status(429, "RESOURCE_EXHAUSTED"),
    TooLate: Status(429, "RESOURCE_EXHAUSTED"),
    RunFailed: Status(500, "INTERNAL"),
    PipelineFailed: Status(500, "INTERNAL"),
    ModelNotReady: Status(503, "UNAVAILABLE"),
    Draining: Status(503, "UNAVAILABLE"),
    OthersSilent: Status(503, "UNAVAILABLE"),
    DeadlineExceeded: Status(504, "DEADLINE_EXCEEDED"),
}
UNEXPECTED: Final = Status(500, "INTERNAL")

OURS: Final = (
    AdminOff,
    BatchingError,
    ModelError,
    InvalidRequest,
    BodyTooLarge,
    UnsupportedEncoding,
    OthersSilent,
)
"""What carries a message made for callers."""


def status_of(error: Exception) -> Status:
    """How an error is numbered; UNEXPECTED for whatever is not in the table."""
    # A run that failed because of what the caller sent is the caller's mistake.
    if isinstance(error, RunFailed) and isinstance(error.__cause__, InvalidInput):
        error = error.__cause__
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), UNEXPECTED)


def retry_after(error: Exception) -> bytes | None:
    """When to come back, for who is refused for now: the value of the `Retry-After` header."""
    if not isinstance(error, (QueueFull, TooLate)):
        return None
    # Whole seconds are all that the header knows.
    return b"%d" % max(1, ceil(error.retry_after_s))


MAX_MESSAGE = 1000
"""Characters. A caller's own words come back in some messages, and may be megabytes."""


def message_of(error: Exception) -> str:
    """What a caller may know of an error: never what we did not write for it.

    A failed run tells the engine's own words to the log only.
    """
    message = _message_of(error)
    return message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…"


def _message_of(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(error, RunFailed):
        if isinstance(cause, InvalidInput):
            return str(cause)
        logger.error("%s", error, exc_info=cause)
        return "the model failed on this request; the server's log says why"
    if isinstance(error, OURS):
        return str(error)
    logger.error("a request failed unexpectedly", exc_info=error)
    return "internal error; the server's log says more"


class Reply(NamedTuple):
    """How a request is answered over HTTP."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]


def reply_to(error: Exception) -> Reply:
    """The HTTP status, JSON body and headers that answer an error."""
    headers = [(b"content-type", b"application/json")]
    if after := retry_after(error):
        headers.append((b"retry-after", after))
    elif isinstance(error, BodyTooLarge):
        # What is left of the body is not worth reading to get to a next request.
        headers.append((b"connection", b"close"))
    elif isinstance(error, UnsupportedEncoding):
        headers.append((b"accept-encoding", CODINGS.encode()))
    return Reply(status_of(error).http, orjson.dumps({"error": message_of(error)}), headers)

"""The only place where our errors meet the outside: exception -> HTTP status."""

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
from models import InvalidInput, ModelError, ModelNotFound, ModelNotReady, PipelineFailed

from .protocol import InvalidRequest

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
        super().__init__(f"Content-Encoding {encoding[:40]!r} is not supported")


# The nearest class of an exception counts, so that a subclass may have its own.
STATUS: Final[Mapping[type[Exception], int]] = {
    InvalidRequest: 400,
    InvalidInput: 400,
    ModelNotFound: 404,
    BodyTooLarge: 413,
    TooManyRows: 413,
    UnsupportedEncoding: 415,
    QueueFull: 429,
    TooLate: 429,
    RunFailed: 500,
    PipelineFailed: 500,
    ModelNotReady: 503,
    Draining: 503,
    DeadlineExceeded: 504,
}

OURS: Final = (BatchingError, ModelError, InvalidRequest, BodyTooLarge, UnsupportedEncoding)
"""What carries a message made for callers."""


def status_of(error: Exception) -> int:
    """The HTTP status for an error; 500 for whatever is not in the table."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


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
    # A run that failed because of what the caller sent is the caller's mistake.
    cause = error.__cause__ if isinstance(error, RunFailed) else None
    status = status_of(cause if isinstance(cause, InvalidInput) else error)
    headers = [(b"content-type", b"application/json")]
    if isinstance(error, (QueueFull, TooLate)):
        # Whole seconds are all that the header knows.
        headers.append((b"retry-after", b"%d" % max(1, ceil(error.retry_after_s))))
    elif isinstance(error, BodyTooLarge):
        # What is left of the body is not worth reading to get to a next request.
        headers.append((b"connection", b"close"))
    return Reply(status, orjson.dumps({"error": message_of(error)}), headers)

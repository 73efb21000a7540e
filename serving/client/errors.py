"""What can go wrong between asking a model and having its answer.

JitneyError
├── InvalidRequest     400, 413 and their like: asked in the same way again, it fails again
├── ModelNotFound      404
├── Overloaded         429: no room, or no time; says when to come back
├── Unavailable        503, or nobody answered at all
├── DeadlineExceeded   504, or the client's own clock; a TimeoutError too
└── ServerFailed       any other 5xx, and replies that are none

An error says in one sentence what was wrong, in the server's own words where it had some.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson


class JitneyError(Exception):
    """A request that has no answer."""

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """The HTTP status; None where the client found out by itself."""
        self.retry_after_s = retry_after_s
        """When the server asks to come back; None where it did not say."""
        self.attempts = 0
        """How often the request was sent."""
        self.index: int | None = None
        """Which input of a stream it was, from 0; None outside of one."""


class InvalidRequest(JitneyError):
    """The request does not fit the model, or the server does not take it."""


class ModelNotFound(JitneyError):
    """The server has no such model, or not in this version."""


class Overloaded(JitneyError):
    """The server has no room for this request, or would answer it too late."""


class Unavailable(JitneyError):
    """The server or the model does not serve now, or cannot be reached."""


class DeadlineExceeded(JitneyError, TimeoutError):
    """The time that the caller had is over."""


class ServerFailed(JitneyError):
    """The server failed on this request, or answered with what is no answer."""


_KINDS: Final[Mapping[int, type[JitneyError]]] = {
    404: ModelNotFound,
    429: Overloaded,
    503: Unavailable,
    504: DeadlineExceeded,
}

MAX_MESSAGE = 1000
"""Characters of a server's words that are passed on."""


def error_of(status: int, body: bytes, retry_after_s: float | None) -> JitneyError:
    """The error that a reply other than 200 stands for."""
    kind = _KINDS.get(status, InvalidRequest if 400 <= status < 500 else ServerFailed)
    message = _said(body) or f"the server answered {status} and no reason"
    if retry_after_s is not None:
        message = f"{message}; it asks to come back in {retry_after_s:g} s"
    return kind(message, status=status, retry_after_s=retry_after_s)


def _said(body: bytes) -> str:
    try:
        document: Any = orjson.loads(body)
    except ValueError:
        return ""  # a proxy's page, perhaps
    said = document.get("error") if isinstance(document, dict) else None
    return said[:MAX_MESSAGE] if isinstance(said, str) else ""

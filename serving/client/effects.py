"""What a flow asks its shell to do, and what can come of it."""

from collections.abc import Generator
from math import ceil
from typing import NamedTuple, TypeAlias, TypeVar

from .http import Reply
from .wire import Body

T = TypeVar("T")


class Ask(NamedTuple):
    """One request, for the shell to send and to bring the reply of."""

    line: bytes
    """The request's first line."""
    body: Body
    deadline: float | None
    """An instant; the server is told what is left of it when the request goes out."""
    until: float
    """When to give up."""

    def wire(self, head: bytes, now: float) -> bytes:
        """The bytes to send. head: what all requests to this server say."""
        body = self.body
        if body.json_length is None:
            lines = b"Content-Length: %d\r\n\r\n" % len(body.content)
        else:
            lines = (
                b"Content-Type: application/octet-stream\r\n"
                b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n"
                % (body.json_length, len(body.content))
            )
        if self.deadline is not None:
            left_ms = min(max(1, ceil((self.deadline - now) * 1e3)), 10**9)
            lines = b"X-Request-Timeout-Ms: %d\r\n%b" % (left_ms, lines)
        return b"".join((self.line, head, lines, body.content))


class NoReply(NamedTuple):
    """What came of an Ask that was not answered."""

    why: str
    late: bool = False
    """Its time was over."""
    began: bool = False
    """A part of a reply came."""
    reused: bool = False
    """The connection had carried requests before."""


class Pause(NamedTuple):
    """A wait, for the shell to do."""

    delay_s: float


Flow: TypeAlias = Generator[Ask | Pause, Reply | NoReply | None, T]
"""Yields what is to be done, is sent what came of it, and returns its result."""

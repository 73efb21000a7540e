"""What is the same for many requests and replies over HTTP, kept as bytes."""

import re
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from batching import TooLate

from .errors import Reply, reply_to
from .gate import Head

MAX_KNOWN = 512
"""Heads that are kept once for all connections; each connection keeps its own last one."""
MAX_KNOWN_BYTES = 4096
"""Of a head. Longer ones are read each time."""


_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n", re.IGNORECASE)


@dataclass(slots=True, eq=False)
class Known:
    """The head of a request that was all right, and is likely to come again.

    The same caller's next body may be of another length: one who writes numbers as JSON never
    sends two of the same. So the digits of Content-Length may differ, and nothing else.
    """

    before: bytes
    """What comes before them,"""
    behind: bytes
    """and behind, up to the body."""
    target: tuple[str, str | None]
    head: Head

    def body_at(self, data: bytes) -> int:
        """Where the body begins in a whole request; 0 if its head, or its length, is another."""
        first, behind = len(self.before), self.behind
        end = data.find(b"\r", first)
        at = end + len(behind)
        if data.startswith(behind, end) and data[first:end] == b"%d" % (len(data) - at):
            return at
        return 0


def known_of(data: bytes, target: tuple[str, str | None], head: Head) -> Known | None:
    """What there is to know of a request that is all of `data`; None where it is not all."""
    size = data.find(b"\r\n\r\n") + 4
    length = _LENGTH.search(data, 0, size)
    if length is None or size > MAX_KNOWN_BYTES or head.length != len(data) - size:
        return None
    first, end = length.span(1)
    known = Known(data[:first], data[end:size], target, head)
    return known if known.body_at(data) == size else None


class Preface:
    """What many replies have in common, as bytes. It is made anew when uvicorn's clock moves."""

    def __init__(self) -> None:
        self.headers: object = None
        """What uvicorn has for every reply: while it is this, what was made of it is good."""
        self.ok = self._text = b""
        """The beginning of an answer with JSON, up to what `server_timing` says."""
        self._refusals: dict[tuple[float, int], bytes] = {}
        """Whole replies: by what is allowed, and how many sixteenths of it would be needed."""
        self._known: dict[tuple[bytes, bytes], Known] = {}

    def known(self, known: Known) -> Known:
        """The same, of which there is only one."""
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        return self._known.setdefault((known.before, known.behind), known)

    def of(self, state: ServerState) -> bytes:
        """The headers of every reply."""
        if state.default_headers is not self.headers:
            self.renew(state)
        return self._text

    def renew(self, state: ServerState) -> None:
        """Make everything anew."""
        self.headers = state.default_headers
        self._text = text = b"".join(b"%b: %b\r\n" % header for header in state.default_headers)
        self.ok = b"%b%bcontent-type: application/json\r\nserver-timing: " % (
            STATUS_LINE[200],
            text,
        )
        self._refusals = {}

    def refusal(self, state: ServerState, needed_s: float, allowed_s: float) -> bytes:
        """A whole reply to who would be late."""
        preface = self.of(state)
        sixteenths = int(16 * needed_s / allowed_s) + 1 if allowed_s else 0
        text = self._refusals.get((allowed_s, sixteenths))
        if text is None:
            needed_s = allowed_s * sixteenths / 16 or needed_s
            reply = reply_to(TooLate(needed_s=needed_s, allowed_s=allowed_s))
            text = written(preface, reply, keep_alive=True)
            if len(self._refusals) < 1024:
                self._refusals[allowed_s, sixteenths] = text
        return text


def written(preface: bytes, reply: Reply, *, keep_alive: bool) -> bytes:
    """A reply as it goes over the wire."""
    parts = [STATUS_LINE[reply.status], preface]
    for name, value in reply.headers:
        if name != b"connection":
            parts += (name, b": ", value, b"\r\n")
    if not keep_alive:
        parts.append(b"connection: close\r\n")
    body = reply.body
    parts += (b"content-length: %d\r\n\r\n" % len(body), body)
    return b"".join(parts)

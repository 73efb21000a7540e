"""HTTP/1.1 as this client speaks it: bytes to a reply and back. No I/O.

The parser is httptools, which is the server's own.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser


class Reply(NamedTuple):
    """A whole reply."""

    status: int
    headers: dict[bytes, bytes]
    """Names in lower case."""
    body: bytes
    keep_alive: bool
    """Whether the connection may carry another request."""


class BadReply(Exception):
    """What came is not HTTP."""


class Address(NamedTuple):
    """A server's URL, taken apart."""

    host: str
    port: int
    secure: bool
    netloc: str
    """For the Host header."""
    base: str
    """What stands before /v2; usually nothing."""

    @property
    def url(self) -> str:
        return f"http{'s' if self.secure else ''}://{self.netloc}{self.base}"


def address_of(url: str) -> Address:
    """Raises ValueError, with a sentence, if it is no URL of an HTTP server."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    secure = parts.scheme == "https"
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username is not None
        or parts.query
        or parts.fragment
        or not all(32 < ord(char) < 127 for char in url)
    ):
        raise ValueError(f"a server's URL is http://HOST:PORT or https://HOST:PORT, got {url!r}")
    port = parts.port or (443 if secure else 80)
    return Address(parts.hostname, port, secure, parts.netloc, parts.path.rstrip("/"))


def head_of(address: Address, headers: Mapping[str, str]) -> bytes:
    """What all requests to a server say after their first line. Raises ValueError."""
    lines = {"Host": address.netloc, **headers}
    for name, value in lines.items():
        if not name or any(not 32 < ord(char) < 127 or char == ":" for char in name):
            raise ValueError(f"{name!r} is no name of a header")
        if any(char in "\r\n\0" or ord(char) > 255 for char in value):
            raise ValueError(f"the header {name} has a value that cannot be sent")
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("latin-1")


class ReplyParser:
    """One reply, read piece by piece. Interim ones (100, 103) before it are passed over."""

    __slots__ = ("_body", "_headers", "_keep_alive", "_parser", "_status", "began", "reply")

    def __init__(self) -> None:
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._status = 0
        self._keep_alive = False
        self.began = False
        """Whether a byte of it has come."""
        self.reply: Reply | None = None

    def feed(self, data: bytes) -> Reply | None:
        """The reply, if it is whole now; then there is no more to feed. Raises BadReply."""
        self.began = True
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if self.reply is None:
                raise BadReply(str(error)) from error
            self.reply = self.reply._replace(keep_alive=False)
        if self.reply is not None:
            # It holds us: as a circle, every reply would be left to the garbage collector.
            self._parser = None
        return self.reply

    def end(self) -> Reply | None:
        """The connection has ended: the reply, if that is how its end is told."""
        bounded = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if self.reply is None and self._status >= 200 and not bounded:
            self.on_message_complete()
        return self.reply

    # --- what the parser calls

    def on_message_begin(self) -> None:
        if self.reply is not None:  # nobody asked for a second one
            self.reply = self.reply._replace(keep_alive=False)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.reply is None:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self.reply is None and self._parser is not None:
            self._status = self._parser.get_status_code()
            self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status < 200:
            self._headers = {}
        elif self.reply is None:
            body = b"".join(self._body)
            self.reply = Reply(self._status, self._headers, body, self._keep_alive)

"""Where an HTTP reply ends, and its status. Its body is counted, never kept.

`whole_reply` knows the usual reply and gives up on any other; `Reply` knows them all,
in pieces of any size. Neither does any I/O.
"""

import re

MAX_HEAD = 64 * 1024
"""Bytes; a longer head, or line between chunks, is not read."""

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: |$)")
_LENGTH = b"\r\ncontent-length:"
_UNUSUAL = (b"\r\ntransfer-encoding:", b"\r\nconnection:")


class BadReply(Exception):
    """It is not HTTP/1, or has no end that can be found."""


def whole_reply(buffer: bytearray, size: int) -> int:
    """The status, if the first `size` bytes of the buffer are one usual reply; else 0.

    Usual is: HTTP/1.1, one Content-Length, all of it there, and nothing said of the connection.
    """
    end = buffer.find(b"\r\n\r\n", 0, size)
    if end < 0:
        return 0
    head = buffer[:end].lower()
    at = head.find(_LENGTH)
    if at < 0 or not head.startswith(b"http/1.1 ") or head.find(_LENGTH, at + 1) >= 0:
        return 0
    if head.find(_UNUSUAL[0]) >= 0 or head.find(_UNUSUAL[1]) >= 0:
        return 0
    stop = head.find(b"\r", at + 2)
    length, code = head[at + len(_LENGTH) : stop if stop > 0 else end].strip(), head[9:12]
    if not length.isdigit() or not code.isdigit() or size != end + 4 + int(length):
        return 0
    status = int(code)
    return status if 200 <= status <= 599 and status not in (204, 304) else 0


class Reply:
    """One reply, read piece by piece. Interim ones (100, 103) before it are passed over."""

    def __init__(self) -> None:
        self.status = 0
        self.keep_alive = True
        self._held = b""
        """The head, or a line between chunks, as far as it is there."""
        self._missing = 0
        """Bytes until the end of the body or chunk."""
        self._state = "head"
        self.done = False

    def feed(self, data: bytes) -> bool:
        """Whether the reply is whole now. Raises BadReply, also for bytes after its end."""
        while data:
            if self.done:
                raise BadReply("bytes after the end")
            if self._state == "head":
                data = self._head(data)
            elif self._state == "body" or self._state == "chunk":
                taken = min(self._missing, len(data))
                self._missing -= taken
                data = data[taken:]
                if not self._missing:
                    if self._state == "body":
                        self.done = True
                    else:
                        self._state = "size"
            elif self._state == "until the end":
                data = b""
            else:
                data = self._line(data)
        return self.done

    def at_end(self) -> bool:
        """The connection has ended: whether that ended the reply as it should."""
        self.keep_alive = False
        if self._state == "until the end":
            self.done = True
        return self.done

    def _until(self, mark: bytes, data: bytes) -> tuple[bytes | None, bytes]:
        """What stands before the mark, which may have begun in an earlier piece; and the rest."""
        held = self._held + data
        end = held.find(mark)
        if end > MAX_HEAD or (end < 0 and len(held) > MAX_HEAD):
            raise BadReply("a head without an end")
        if end < 0:
            self._held = held
            return None, b""
        self._held = b""
        return held[:end], held[end + len(mark) :]

    def _head(self, data: bytes) -> bytes:
        head, rest = self._until(b"\r\n\r\n", data)
        if head is None:
            return rest
        first, *lines = head.split(b"\r\n")
        match = _STATUS.match(first)
        if match is None:
            raise BadReply("no status")
        status = int(match[2])
        if status == 101 or status > 599:
            raise BadReply(f"status {status}")
        if status < 200:
            return rest
        headers: dict[bytes, bytes] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            name, value = name.lower(), value.strip()
            if not colon:
                raise BadReply("a header without a colon")
            if name == b"content-length" and headers.get(name, value) != value:
                raise BadReply("two lengths")
            headers[name] = value
        self.status = status
        options = headers.get(b"connection", b"").lower()
        self.keep_alive = b"keep-alive" in options if match[1] == b"0" else b"close" not in options
        self._begin_body(headers)
        return rest

    def _begin_body(self, headers: dict[bytes, bytes]) -> None:
        length = headers.get(b"content-length")
        if self.status in (204, 304):
            self.done = True
        elif b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            self._state = "size"
        elif length is None:
            self._state, self.keep_alive = "until the end", False
        elif not length.isdigit() or len(length) > 18:
            raise BadReply("a length that is no number")
        else:
            self._state, self._missing = "body", int(length)
            self.done = not self._missing

    def _line(self, data: bytes) -> bytes:
        line, rest = self._until(b"\r\n", data)
        if line is None:
            return rest
        if self._state == "trailers":
            self.done = not line
            return rest
        digits = line.partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,15}", digits):
            raise BadReply("a chunk without a size")
        if size := int(digits, 16):
            # The line end that follows a chunk is counted with it.
            self._state, self._missing = "chunk", size + 2
        else:
            self._state = "trailers"
        return rest

"""One socket that does not block, with at most one request under way."""

import errno
import os
import socket
from typing import Any, NamedTuple

from .reply import Reply

PENDING = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)


class Address(NamedTuple):
    """Where to connect to."""

    family: int
    to: tuple[Any, ...]


class CannotConnect(Exception):
    """Nobody is there, or there is no room for one more."""


def resolve(host: str, port: int) -> Address:
    """The first address of a host that takes a connection. Raises CannotConnect."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CannotConnect(f"{host} is not known: {error}") from error
    why: OSError | None = None
    for family, _, _, _, to in found:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.settimeout(10)
                trial.connect(to)
                return Address(family, to)
        except OSError as error:
            why = error
    raise CannotConnect(f"{host}:{port}: {why.strerror or why if why else 'no address'}")


class Connection:
    """The generator moves it from hand to hand; it only holds what belongs together."""

    __slots__ = ("connected", "fd", "index", "open", "reading", "receive", "rest", "send", "socket")

    def __init__(self, address: Address, *, wait: bool) -> None:
        """Connect, or begin to. Raises OSError."""
        self.socket = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if wait:
                self.socket.settimeout(10)
                self.socket.connect(address.to)
            self.socket.setblocking(False)
            if not wait:
                error = self.socket.connect_ex(address.to)
                if error not in PENDING:
                    raise OSError(error, os.strerror(error))
        except BaseException:
            self.socket.close()
            raise
        self.fd = self.socket.fileno()
        self.send, self.receive = self.socket.send, self.socket.recv_into
        self.connected = wait
        self.open = True
        self.index = -1
        """Of the request under way; -1 if there is none."""
        self.rest: memoryview | None = None
        """What is still to be sent of it."""
        self.reading: Reply | None = None
        """A reply that did not come in one piece."""

    def fails_to_connect(self) -> bool:
        """Once it is writable."""
        self.connected = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        return not self.connected

    def close(self) -> None:
        self.open = False
        self.socket.close()

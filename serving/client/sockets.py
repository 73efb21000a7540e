"""Kept connections of a client that blocks. Threads may share them."""

import os
import select
import socket
import threading
from contextlib import suppress

from .core import Core
from .effects import Ask, NoReply
from .http import BadReply, Reply, ReplyParser

RECEIVE = 256 * 1024


class Sockets:
    """Connections to one server: the one used last is the first to be used again."""

    def __init__(self, core: Core) -> None:
        self._address = core.address
        self._head = core.head
        self._clock = core.clock
        self._tls = core.tls
        self._idle: list[socket.socket] = []
        self._most = core.options.max_connections
        self._room = threading.Semaphore(self._most)
        self._closed = False
        self._pid = os.getpid()

    def close(self) -> None:
        """Close those that are idle; those in use are closed when they are given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def ask(self, ask: Ask) -> Reply | NoReply:
        """Send, and wait for the reply."""
        if self._pid != os.getpid():
            self._forked()
        if not self._room.acquire(timeout=max(0.0, ask.until - self._clock())):
            return NoReply("all connections are in use", late=True)
        try:
            return self._asked(ask)
        finally:
            self._room.release()

    def _forked(self) -> None:
        """A child shares its parent's connections, and would take its replies."""
        while self._idle:
            self._idle.pop().close()
        self._pid, self._room = os.getpid(), threading.Semaphore(self._most)

    def _asked(self, ask: Ask) -> Reply | NoReply:
        if self._closed:
            raise RuntimeError("this client is closed")
        connection = self._kept()
        reused = connection is not None
        try:
            if connection is None:
                connection = self._connected(self._left(ask))
            reply = self._exchanged(connection, ask, reused=reused)
            if isinstance(reply, Reply) and reply.keep_alive and not self._closed:
                self._idle.append(connection)
                connection = None
            return reply
        except OSError as error:  # nobody is there, or it is not who it says; or time is over
            return NoReply(error.strerror or str(error), late=_is_late(error))
        finally:
            if connection is not None:
                # Whatever was asked on it, the server learns that nobody waits for it.
                connection.close()

    def _kept(self) -> socket.socket | None:
        """A connection that is open still, as far as can be known."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            # What can be read while nothing was asked is its end, or nothing that is wanted.
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()
        return None

    def _connected(self, timeout_s: float) -> socket.socket:
        address = self._address
        connection = socket.create_connection((address.host, address.port), timeout_s)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=address.host)
        except BaseException:
            connection.close()
            raise
        return connection

    def _exchanged(self, connection: socket.socket, ask: Ask, *, reused: bool) -> Reply | NoReply:
        parser = ReplyParser()
        try:
            connection.settimeout(self._left(ask))
            # Who refuses before all is sent has said why: that may be there to be read.
            with suppress(ConnectionError):
                connection.sendall(ask.wire(self._head, self._clock()))
            while True:
                data = connection.recv(RECEIVE)
                reply = parser.feed(data) if data else parser.end()
                if reply is not None:
                    return reply
                if not data:
                    raise ConnectionError("the server hung up")
                connection.settimeout(self._left(ask))
        except BadReply as error:
            return NoReply(f"that is no HTTP: {error}", began=True)
        except OSError as error:
            if _is_late(error):
                raise
            why = error.strerror or str(error)
            return NoReply(why, began=parser.began, reused=reused)

    def _left(self, ask: Ask) -> float:
        left_s = ask.until - self._clock()
        if left_s <= 0:
            raise TimeoutError
        return left_s


def _is_late(error: OSError) -> bool:
    """Whether it is our own time that is over; the system's timeouts have a number."""
    return isinstance(error, TimeoutError) and error.errno is None

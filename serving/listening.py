"""Ports: taken, or a sentence that says why they cannot be had."""

import errno
import socket


class CannotListen(Exception):
    """The address cannot be had. The message is for whoever starts the server."""


def listen(host: str, port: int, flag: str = "--port") -> socket.socket:
    """Take a port, any free one for 0, and listen on it. Raises CannotListen.

    flag: what the caller would say to choose another port.
    """
    where = f"port {port} of {host}"
    try:
        return socket.create_server((host, port), family=_family(host), backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"{where} is in use; stop what listens there or choose another: {flag} {port + 1}"
            ) from error
        raise CannotListen(f"cannot listen on {where}: {error.strerror or error}") from error


def share(host: str, port: int) -> socket.socket:
    """A socket on a port that others of ours may have too; nobody listens on it yet.

    The kernel gives each of those that listen its share of the connections. Raises OSError.
    """
    made = socket.socket(_family(host), socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


def url_of(listener: socket.socket) -> str:
    """Where requests can be sent to."""
    host, port = listener.getsockname()[:2]
    # Nobody can send a request to "every interface".
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET

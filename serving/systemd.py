"""What systemd is told of a service's life."""

import logging
import os
import socket

logger = logging.getLogger(__name__)

NOTIFY_SOCKET = "NOTIFY_SOCKET"


def notify(state: str) -> None:
    """Tell systemd, if it has started us with Type=notify. See sd_notify(3)."""
    address = os.environ.get(NOTIFY_SOCKET, "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # in the abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
            told.connect(address)
            told.sendall(state.encode())
    except OSError as error:
        logger.warning("systemd could not be told %s at NOTIFY_SOCKET: %s", state, error)

"""A line in the log for each request, and the id by which to find it.

Only for who asks for it: with an access log every request takes the long way.
"""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from secrets import token_hex
from typing import Any, Final

from .logs import escaped, request_id

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

HEADER: Final = b"x-request-id"
LONGEST_ID: Final = 128

logger = logging.getLogger("serving.access")


class AccessLog:
    """ASGI middleware. The request's own id is kept, if it is one; it comes back in the reply."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        asked = id_in(scope["headers"])
        token = request_id.set(asked)
        status, timing = 0, ""

        async def told(message: Message) -> None:
            nonlocal status, timing
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (HEADER, asked.encode())]
                timing = next(
                    (
                        value.decode("latin-1")
                        for name, value in headers
                        if name == b"server-timing"
                    ),
                    "",
                )
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            _log(scope, status, timing, time.perf_counter() - began)
            request_id.reset(token)


def id_in(headers: list[tuple[bytes, bytes]]) -> str:
    """The id that the caller has given its request, or a new one."""
    for name, value in headers:
        if name == HEADER:
            text = value.decode("latin-1")
            if 0 < len(text) <= LONGEST_ID and text.isascii() and text.isprintable():
                return text
            break
    return token_hex(8)


def _log(scope: Message, status: int, timing: str, took_s: float) -> None:
    log_request(
        client=(scope.get("client") or ("-",))[0],
        method=scope["method"],
        # As it came over the wire: escaped already, and never two names for one path.
        path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
        status=status or None,
        timing=timing,
        took_s=took_s,
    )


def log_request(
    *, client: str, method: str, path: str, status: int | str | None, timing: str, took_s: float
) -> None:
    """The line of one request, of whatever door.

    status: None if its caller had gone. timing: what `Server-Timing` says, or nothing.
    """
    path = escaped(path)
    logger.info(
        "%s %s %s %.1f ms%s",
        method,
        path,
        "left" if status is None else status,
        took_s * 1e3,
        f" [{timing}]" if timing else "",
        extra={
            "client": client,
            "method": method,
            "path": path,
            "status": status,
            "duration_s": round(took_s, 6),
            "server_timing": timing or None,
        },
    )

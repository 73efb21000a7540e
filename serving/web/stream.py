"""Server-sent events: the numbers once a second, until nobody looks or the server stops."""

import asyncio
from typing import Any, Final

from fastapi import Response

from ..engine import Engine
from .live import EVERY_S, Live

LOOK_EVERY_S: Final = 0.1
"""How late a stream may notice that the server stops. Nobody looks where there is no stream."""
LIFE_S: Final = 30.0
"""A stream ends then, and its page opens another. A server that waits for its connections
before it tells us that it stops, as uvicorn by itself does, waits no longer than this."""


class LiveStream(Response):
    """One page's stream."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, engine: Engine) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._live, self._engine = live, engine

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        )  # fmt: skip
        if scope.get("head"):
            await send({"type": "http.response.body", "body": b""})
            return
        gone = asyncio.ensure_future(_gone(receive))
        try:
            with self._live.looking():
                await self._stream(gone, send)
        finally:
            gone.cancel()

    async def _stream(self, gone: asyncio.Future[None], send: Any) -> None:
        clock = asyncio.get_running_loop().time
        began = due = clock()

        async def event(text: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text + b"\n\n", "more_body": more})

        while not (gone.done() or self._engine.draining or clock() - began >= LIFE_S):
            if clock() >= due:
                due += EVERY_S
                await event(b"data: " + await self._live.text())
            left_s = max(0.0, due - clock())
            await asyncio.wait([gone], timeout=min(LOOK_EVERY_S, left_s))
        ends = b"stopping" if self._engine.draining else b"again"
        await event(b"event: " + ends + b"\ndata:", more=False)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

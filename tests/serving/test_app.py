"""All but inference is made when it is asked for."""

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from serving.app import Later


async def asked(later: Later) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    await later({"type": "http"}, receive, send)
    return sent


async def test_it_is_made_once_on_another_thread_whoever_asks_first():
    made_on: list[int] = []
    goes_on = threading.Event()

    def make():
        made_on.append(threading.get_ident())
        goes_on.wait(60)

        async def app(scope, receive, send):
            await send(scope["type"])

        return app

    later = Later(make)
    waiting = [asyncio.create_task(asked(later)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # a caller who leaves takes it from nobody
    goes_on.set()

    assert await waiting[1] == await waiting[2] == await asked(later) == ["http"]
    assert len(made_on) == 1
    assert made_on[0] != threading.get_ident()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_what_its_making_raises_is_raised_each_time():
    later = Later(lambda: 1 / 0)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await asked(later)


def test_a_server_starts_without_what_only_other_routes_need():
    code = "import serving.server, sys; print('fastapi' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout == "False\n"

"""From the first port bound to the last session freed: one place, in numbered steps.

    starting ──► ready ──► draining ──► stopped

What is live answers /v2/health/live with 200 in each of them; /v2/health/ready says 200
in one only.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Protocol

from .engine import Engine
from .systemd import notify as notify
from .watch import watching

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Phase(StrEnum):
    """Where in its life a server is."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


class Doors(Protocol):
    """One way for requests to come in: HTTP, or gRPC."""

    async def start(self) -> None:
        """Listen."""

    def drain(self) -> None:
        """Go on serving, but let callers know that they should go elsewhere."""

    async def finish(self, until: float) -> bool:
        """Accept no more; say whether what was accepted is answered by that instant."""
        ...

    async def close(self) -> None:
        """Let go of everybody who is still here."""


class Lifecycle:
    """A server's life. `run` leads it once."""

    def __init__(self, engine: Engine, doors: list[Doors]) -> None:
        """`doors`: those for HTTP first: who asks whether it is live must get an answer."""
        self.phase = Phase.STARTING
        self._engine = engine
        self._doors = doors
        self._asked = asyncio.Event()

    def stop(self) -> None:
        """Ask for the end."""
        self._asked.set()

    async def run(self, *, ready: Callable[[], None], stopping: Callable[[Phase], None]) -> bool:
        """Start, serve until somebody asks for the end, and stop in order.

        ready: called when every model answers. stopping: called when the end begins, with the
        phase that it begins in. Says whether all that was accepted got its answer.
        Raises BadModel if a model cannot be served, and what a door raises that cannot listen.
        """
        try:
            async with contextlib.AsyncExitStack() as running:
                await self._start(running)
                if not self._asked.is_set():
                    self.phase = Phase.READY
                    ready()
                    notify("READY=1")  # 4. whoever started us may go on
                    await self._asked.wait()
                stopping(self.phase)
                await self._drain()
                # What changes on the disk is nobody's concern any more: the watch ends here.
        finally:
            in_time = await self._stop()
        return in_time

    async def _start(self, running: contextlib.AsyncExitStack) -> None:
        for door in self._doors:
            await door.start()  # 1. ports are bound: live says yes, and ready no
        if self._engine.settings.watch:
            await running.enter_async_context(watching(self._engine))
        self._engine.start()  # 2. models load, off the event loop
        loaded = asyncio.ensure_future(self._engine.loaded())
        asked = asyncio.ensure_future(self._asked.wait())
        await asyncio.wait([loaded, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not loaded.done():
            loaded.cancel()  # nobody wants them any more
            return
        await loaded  # 3. every model answers, or BadModel ends it here

    async def _drain(self) -> None:
        was_ready, self.phase = self.phase is Phase.READY, Phase.DRAINING
        self._engine.draining = True  # 1. ready says 503 from now on
        notify("STOPPING=1")
        for door in self._doors:
            door.drain()  # each answer tells its caller to connect anew, elsewhere
        if was_ready:
            # 2. Balancers go on routing here until they have asked again. All of it is served.
            await asyncio.sleep(self._engine.settings.lame_duck_s)

    async def _stop(self) -> bool:
        self._engine.draining = True
        until = time.monotonic() + self._engine.settings.drain_s
        # 3. All doors stop accepting at one time, and 4. what they have accepted is answered:
        # by batchers that go on running, until one deadline for all.
        finished = await asyncio.gather(*(door.finish(until) for door in self._doors))
        # 5. Nothing waits any more, or it is refused now; executors close, sessions are freed.
        drained = await self._engine.stop(max(0.0, until - time.monotonic()))
        for door in self._doors:
            await door.close()  # 6. who was refused has heard it
        self.phase = Phase.STOPPED
        return drained and all(finished)


@contextlib.contextmanager
def stopped_by_signals(lifecycle: Lifecycle) -> Iterator[None]:
    """The first SIGINT or SIGTERM begins the end; a second one is the end, at once."""
    loop = asyncio.get_running_loop()

    def give_back() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            # Not ours any more, but the system's: it ends a process that hangs, too.
            signal.signal(number, signal.SIG_DFL)

    def on_signal() -> None:
        give_back()
        lifecycle.stop()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        give_back()

"""A worker process: a server as any other, that shares its port, and what it is told, with others.

The supervisor starts it with one end of a socket pair, and sends what to serve once it may
begin. When the supervisor is gone, the worker stops.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any

from batching import BatchingError, Draining
from models import BadModel, ModelError, divide_cores, find_models, usable_cores
from models.profile_cache import default_folder

from ..cli.banner import serving_banner
from ..engine import Engine
from ..errors import OthersSilent
from ..http.metrics_route import engine_report
from ..lifecycle import Lifecycle
from ..listening import CannotListen, share
from ..observe.logs import configure_logs
from ..observe.report import Values
from ..observe.tracing import CannotTrace
from ..server import lead, look_for_packages
from ..settings import Settings
from ..watch import CannotWatch
from .channel import SIZE_BYTES, Channel, ChannelClosed, Message, Refused
from .own import about_this_process
from .process import too_many

REPORT_S = 3.0
"""How long whoever asks waits for what the supervisor has to say of all workers."""


class SharedEngine(Engine):
    """An engine whose changes are made in all workers, one after the other."""

    channel: Channel | None = None

    def __init__(self, *of_engine: Any) -> None:
        super().__init__(*of_engine)
        self._numbers = count(1)
        self._errors: dict[int, Exception] = {}

    def start(self) -> None:
        """As an engine; does nothing the second time."""
        if self._loading is None:
            super().start()

    async def reload(self, name: str) -> None:
        await self._everywhere(name, what="reload")

    async def unload(self, name: str, *, forget: bool = False) -> None:
        await self._everywhere(name, what="forget" if forget else "unload")

    async def _everywhere(self, name: str, *, what: str) -> None:
        """Have the supervisor tell all, this one first: what fails here is not tried elsewhere."""
        if self.channel is None:
            raise Draining
        number = next(self._numbers)
        try:
            await self.channel.ask({"do": "change", "what": what, "name": name, "number": number})
        except ChannelClosed:
            raise Draining from None
        except Refused as refused:
            error = self._errors.pop(number, None)
            raise error or BadModel(f"model {name!r}: {refused}") from None

    async def apply(self, what: str, name: str, number: int | None) -> None:
        """Change this worker's own. number: of the question here that has led to it, if any.

        Raises Refused if that fails.
        """
        try:
            if what == "reload":
                await super().reload(name)
            else:
                await super().unload(name, forget=what == "forget")
        except (BatchingError, ModelError) as error:
            if number is not None:
                self._errors[number] = error
            raise Refused(str(error)) from error


class Worker:
    """One of them. `serve` blocks until the end."""

    def __init__(self, told: Message, end: socket.socket) -> None:
        """told: what the supervisor has sent. end: of the pair of sockets that leads to it.

        Raises BadModel if there is nothing to serve; and what `look_for_packages` raises.
        """
        self._told, self._end = told, end
        settings = _settings(told["settings"])
        configure_logs(settings.log_format)
        _keep_profiles(told["scratch"])
        sources = find_models(settings.models)
        look_for_packages(settings)
        try:
            divide_cores(settings.workers)
        except ValueError as error:
            raise CannotListen(too_many(settings.workers, usable_cores())) from error
        self._engine = SharedEngine(
            [source for source in sources if source.name not in told["unloaded"]],
            settings,
            self._on_progress,
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    def serve(self) -> None:
        """Serve until a signal comes. Raises BadModel, OSError if the port cannot be had."""
        settings = self._engine.settings
        with share(settings.host, settings.port) as listener:
            lead(
                self._engine,
                listener,
                ready=self._on_ready,
                reports=self.reports,
                beside=self._beside,
            )

    async def reports(self) -> Values:
        """What all workers say of themselves. Raises OthersSilent."""
        try:
            return await self._channel.ask({"do": "reports"}, timeout_s=REPORT_S)
        except (Refused, ChannelClosed, TimeoutError) as error:
            # Half of the counts would look to Prometheus like a server that began anew.
            raise OthersSilent from error

    @contextlib.asynccontextmanager
    async def _beside(self, lifecycle: Lifecycle) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        self._channel = await Channel.over(self._end, self._answer)
        self._engine.channel = self._channel
        reading = asyncio.create_task(self._read(lifecycle), name="supervisor")
        try:
            if self._told["early"]:
                self._channel.tell({"do": "listening", "models": self._engine.models()})
            else:
                # Others serve already: nobody is to be sent here before all models answer.
                await self._load()
            yield
        finally:
            self._engine.channel = None
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _load(self) -> None:
        self._engine.start()
        try:
            await self._engine.loaded()
        except BadModel:
            await self._engine.stop(0)
            raise

    async def _read(self, lifecycle: Lifecycle) -> None:
        try:
            await self._channel.run()
        finally:
            lifecycle.stop()  # nobody would end us any more

    async def _answer(self, question: Message) -> Message | None:
        match question:
            case {"do": "apply", "what": what, "name": name, "number": number}:
                await self._engine.apply(what, name, number)
            case {"do": "report"}:
                return {"report": engine_report(self._engine), "about": about_this_process()}
        return {}  # it was asked whether it is there

    def _on_ready(self) -> None:
        took_s = time.time() - self._told["began"]
        banner = serving_banner(self._engine, self._told["url"], took_s)
        kept = default_folder() is not None and self._told["scratch"] is not None
        self._channel.tell({"do": "ready", "banner": banner, "profiles_kept": kept})

    def _on_progress(self, says: str) -> None:
        # From another thread, while models load.
        if self._told["early"] and self._loop is not None:
            message = {"do": "progress", "says": says}
            self._loop.call_soon_threadsafe(self._channel.tell, message)


def _settings(values: dict[str, Any]) -> Settings:
    paths = tuple(map(Path, values.pop("models")))
    assert {field.name for field in fields(Settings)} == {"models", *values}
    return Settings(models=paths, **values)


def _keep_profiles(scratch: str | None) -> None:
    """Let what one worker measures reach the others, where nothing else can be written to."""
    folder = default_folder()
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return
    except OSError:
        pass
    if scratch is not None:
        os.environ["XDG_CACHE_HOME"] = scratch


def main() -> None:
    """Run as `python -m serving.workers.worker FD`."""
    end = socket.socket(fileno=int(sys.argv[1]))
    last_words = end.dup()
    told = _first_message(end)
    if told is None:
        return  # nobody wants it any more
    try:
        Worker(told, end).serve()
    except (BadModel, CannotListen, CannotTrace, CannotWatch, OSError) as error:
        text = json.dumps({"do": "failed", "says": str(error)}).encode()
        with contextlib.suppress(OSError):
            last_words.sendall(len(text).to_bytes(SIZE_BYTES) + text)
        sys.exit(2)


def _first_message(end: socket.socket) -> Message | None:
    with end.dup() as reading, reading.makefile("rb", buffering=0) as file:
        size = file.read(SIZE_BYTES)
        if not size:
            return None
        left, parts = int.from_bytes(size), []
        while left:
            parts.append(file.read(left))
            left -= len(parts[-1])
    told: Message = json.loads(b"".join(parts))
    return told


if __name__ == "__main__":
    main()

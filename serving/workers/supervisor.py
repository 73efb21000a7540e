"""The parent of the workers: it starts them, replaces those that die, ends all together.

It binds the port, so that nobody else takes it, and never listens. Each worker listens on a
socket of its own (SO_REUSEPORT), and the kernel deals connections out by a hash of their
addresses. One listening socket for all does not balance: of 64 connections that come at one
time the worker that wakes first takes 56 to 64, because an event loop accepts until nobody
waits; with a socket for each of two workers, both get 26 to 38.
"""

import asyncio
import logging
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from typing import Any, Final

from ..listening import CannotListen, listen, share, url_of
from ..settings import GRACE_S, Settings
from ..systemd import notify
from .channel import ChannelClosed, Message, Refused
from .merging import Ledger
from .own import STARTED_S, resident_bytes
from .process import Worker, ended_how, start, too_many

logger = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0
"""Who has lived so long is replaced at once when it dies; others after pauses that grow."""
PING_EVERY_S: Final = 10.0
HUNG_S: Final = 30.0
"""A worker whose event loop does not answer for so long is ended, and replaced."""
REPORT_S: Final = 1.0
"""How long a scrape waits for a worker before it is left out."""


class CannotServe(Exception):
    """A worker cannot start. The message is for whoever starts the server."""


def supervise(
    settings: Settings,
    *,
    listening: Callable[[list[str], str], None],
    ready: Callable[[str], None],
    progress: Callable[[str], None] | None = None,
) -> bool:
    """Serve with `settings.workers` processes until a signal comes. Blocks.

    listening: told the models' names and the URL, once the port is bound. ready: told what to
    print, once every model answers in every worker. progress: told what is being loaded.

    Says whether all that was accepted got its answer. Raises CannotServe, CannotListen.
    """
    _look_at_cores(settings.workers)
    with ExitStack() as held:
        # Whoever else listens there is noticed now, who may share the port does not.
        with listen(settings.host, settings.port) as alone:
            port = alone.getsockname()[1]
            url = url_of(alone)
        if settings.grpc_port:
            listen(settings.host, settings.grpc_port, "--grpc-port").close()
        try:
            held.enter_context(share(settings.host, port))
        except OSError as error:
            raise CannotListen(f"cannot share port {port}: {error.strerror or error}") from error
        scratch = None
        with suppress(OSError):
            scratch = held.enter_context(tempfile.TemporaryDirectory(prefix="jitney-"))
        supervisor = Supervisor(
            replace(settings, port=port),
            url=url,
            scratch=scratch,
            listening=lambda names: listening(names, url),
            ready=ready,
            progress=progress or (lambda _: None),
        )
        return asyncio.run(supervisor.run())


def pause_after(failures: int) -> float:
    """Seconds until the next try, after so many that did not live long."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(failures - 1, 10)) if failures else 0.0


def _look_at_cores(workers: int) -> None:
    """Before a thousand processes are started. What a container may use, the first one knows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores is not None and workers > cores:
        raise CannotServe(too_many(workers, cores))


class Supervisor:
    """All workers of one server. `run` leads their lives once."""

    def __init__(
        self,
        settings: Settings,
        *,
        url: str,
        scratch: str | None,
        listening: Callable[[list[str]], None],
        ready: Callable[[str], None],
        progress: Callable[[str], None],
    ) -> None:
        """scratch: a folder that workers may write to, if there is one."""
        self._settings, self._url, self._scratch = settings, url, scratch
        self._listening, self._ready, self._progress = listening, ready, progress
        self._workers: dict[int, Worker] = {}
        self._may_load = [asyncio.Event() for _ in range(settings.workers)]
        self._asked = asyncio.Event()
        self._failure: str | None = None
        self._up = False
        self._in_time = True
        self._changing = asyncio.Lock()
        self._unloaded: set[str] = set()
        self._ledger = Ledger()
        self._restarts = 0

    async def run(self) -> bool:
        """Start all, serve until somebody asks for the end, and stop all together."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        self._may_load[0].set()
        lives = [
            asyncio.create_task(self._live(index), name=f"worker {index}")
            for index in range(self._settings.workers)
        ]
        pinging = asyncio.create_task(self._ping(), name="ping workers")
        try:
            await self._asked.wait()
        finally:
            pinging.cancel()
            await self._stop(lives)
        if self._failure is not None:
            raise CannotServe(self._failure)
        return self._in_time

    def _on_signal(self) -> None:
        """The first one begins the end; a second one is the end, at once."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, self._at_once)
        self._asked.set()

    def _at_once(self, number: int, _: object) -> None:
        for worker in self._workers.values():
            worker.kill()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    async def _stop(self, lives: list[asyncio.Task[None]]) -> None:
        notify("STOPPING=1")
        for worker in self._workers.values():
            worker.stop()
        settings = self._settings
        # Each of them keeps the deadline by itself; this is for who cannot.
        wait_s = settings.lame_duck_s + settings.drain_s + 2 * GRACE_S
        _, late = await asyncio.wait(lives, timeout=wait_s)
        if late:
            self._in_time = False
            for worker in self._workers.values():
                logger.error("worker %d did not stop in time, and is ended now", worker.index)
                worker.kill()
        for life in await asyncio.gather(*lives, return_exceptions=True):
            if isinstance(life, Exception):
                raise life

    # --- one worker after another

    async def _live(self, index: int) -> None:
        """Keep one worker running, until the end."""
        failures = 0
        while not self._asked.is_set():
            worker = await start(index, early=not self._up and index == 0, answer=self._answer)
            self._workers[index] = worker
            if self._asked.is_set():
                worker.stop()  # it was being started when the end began
            telling = asyncio.create_task(self._tell(worker))
            status = await worker.ended()
            telling.cancel()
            del self._workers[index]
            self._ledger.died(index)
            if self._asked.is_set():
                self._in_time = self._in_time and status in (0, -signal.SIGTERM)
                return
            says = worker.says or f"a worker process {ended_how(status)}"
            if not self._up:
                self._failure = says if worker.says else f"{says} while it started"
                self._asked.set()
                return
            steady = time.monotonic() - worker.started >= STEADY_S
            failures = 0 if steady else failures + 1
            pause_s = pause_after(failures)
            logger.error(
                "worker %d (process %d): %s; another one follows in %g s",
                index,
                worker.process.pid,
                worker.says or ended_how(status),
                pause_s,
            )
            self._restarts += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._asked.wait()

    async def _tell(self, worker: Worker) -> None:
        """Let a worker begin, when it may: the first one measures for all."""
        await self._may_load[worker.index].wait()
        worker.tell(
            {
                "settings": {
                    **asdict(self._settings),
                    "models": list(map(str, self._settings.models)),
                    # Its changes are made in all; one is enough to see them.
                    "watch": self._settings.watch and worker.index == 0,
                },
                "url": self._url,
                "began": STARTED_S,
                "early": worker.early,
                "scratch": self._scratch,
                "unloaded": sorted(self._unloaded),
            }
        )

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            asked = [worker for worker in self._workers.values() if worker.ready]
            await asyncio.gather(*map(self._ping_one, asked))

    async def _ping_one(self, worker: Worker) -> None:
        try:
            await worker.channel.ask({"do": "ping"}, timeout_s=HUNG_S)
        except (ChannelClosed, Refused):
            pass
        except TimeoutError:
            logger.error("worker %d has not answered for %g s", worker.index, HUNG_S)
            worker.kill()

    # --- what workers say

    async def _answer(self, worker: Worker, message: Message) -> Message:
        match message:
            case {"do": "progress", "says": says}:
                self._progress(says)
            case {"do": "listening", "models": names}:
                self._listening(names)
            case {"do": "failed", "says": says}:
                worker.says = says
            case {"do": "ready", "banner": banner, "profiles_kept": kept}:
                self._on_ready(worker, banner, kept)
            case {"do": "change", "what": what, "name": name, "number": number}:
                await self._change(worker, what, name, number)
            case {"do": "reports"}:
                return await self._reports()
        return {}

    def _on_ready(self, worker: Worker, banner: str, profiles_kept: bool) -> None:
        worker.ready = True
        # What was measured is there for all others; or they measure too, one after the other.
        waiting = [event for event in self._may_load if not event.is_set()]
        for event in waiting if profiles_kept else waiting[:1]:
            event.set()
        ready = [one for one in self._workers.values() if one.ready]
        if not self._up and len(ready) == self._settings.workers:
            self._up = True
            self._ready(banner)
            notify("READY=1")
        elif self._up:
            logger.info("worker %d (process %d) serves", worker.index, worker.process.pid)

    async def _change(self, asker: Worker, what: str, name: str, number: int) -> None:
        """Change what is served: first where it was asked for, then everywhere else."""
        change: dict[str, Any] = {"do": "apply", "what": what, "name": name}
        async with self._changing:
            await asker.channel.ask({**change, "number": number})
            if what == "unload":
                self._unloaded.add(name)
            else:
                self._unloaded.discard(name)
            others = [one for one in self._workers.values() if one is not asker and one.told]
            done = await asyncio.gather(
                *(one.channel.ask({**change, "number": None}) for one in others),
                return_exceptions=True,
            )
        failed = [
            one.index for one, it in zip(others, done, strict=True) if isinstance(it, Refused)
        ]
        if failed:
            raise Refused(
                f"this is not done in {len(failed)} of {self._settings.workers} processes; "
                "the server's log says why"
            )

    async def _reports(self) -> Message:
        """All workers' reports in one. Who does not answer soon is left out."""
        workers = [worker for worker in self._workers.values() if worker.told]
        asked = (worker.channel.ask({"do": "report"}, timeout_s=REPORT_S) for worker in workers)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        present: list[dict[str, Any]] = []
        for worker, answer in zip(workers, answers, strict=True):
            if isinstance(answer, dict) and worker.index in self._workers:
                self._ledger.add(worker.index, answer["report"])
                worker.about = answer["about"]
                present.append({"worker": worker.index, **worker.about})
        if not present:
            raise Refused("no worker answers")
        report = self._ledger.report(one["worker"] for one in present)
        return {**report, "workers": present, "server": self._about_all()}

    def _about_all(self) -> dict[str, float]:
        """Of the whole server: of workers that are silent, what they have said last."""
        abouts = [worker.about for worker in self._workers.values() if worker.about]
        spent = [
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        return {
            "cpu_s": sum(one.ru_utime + one.ru_stime for one in spent)
            + sum(about["cpu_s"] for about in abouts),
            "resident_bytes": resident_bytes() + sum(about["resident_bytes"] for about in abouts),
            "started_s": STARTED_S,
            "restarts": self._restarts,
        }

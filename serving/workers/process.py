"""One worker process, as its parent knows it."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from ..systemd import NOTIFY_SOCKET
from .channel import Channel, Message

Answer = Callable[["Worker", Message], Awaitable[Message]]

COMMAND: Final = (sys.executable, "-P", "-m", "serving.workers.worker")


class Worker:
    """A process, and the channel to it. Made by `start`."""

    def __init__(
        self, index: int, early: bool, process: asyncio.subprocess.Process, end: socket.socket
    ) -> None:
        self.index = index
        self.early = early
        """Whether it listens while it loads, because nobody else does."""
        self.process = process
        self.started = time.monotonic()
        self.told = False
        """Whether it knows what to serve."""
        self.ready = False
        self.says = ""
        """Why it cannot serve."""
        self.about: Message = {}
        self.channel: Channel
        self._end = end
        self._reading: asyncio.Task[None]

    async def open(self, answer: Answer) -> None:
        """Hear what it says from now on."""
        self.channel = await Channel.over(self._end, lambda message: answer(self, message))
        self._reading = asyncio.create_task(self.channel.run(), name=f"hear worker {self.index}")

    def tell(self, told: Message) -> None:
        """Let it begin."""
        self.told = True
        self.channel.tell(told)

    async def ended(self) -> int:
        """Wait until it has ended and all that it has said is heard; its exit status."""
        status = await self.process.wait()
        await self._reading
        return status

    def stop(self) -> None:
        """Have it answer what it has accepted, and end."""
        with suppress(ProcessLookupError):
            if self.told:
                self.process.terminate()
            else:
                self.process.kill()

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self.process.kill()


async def start(index: int, *, early: bool, answer: Answer) -> Worker:
    """Start a worker, which then waits to be told what to serve. Raises OSError."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            str(theirs.fileno()),
            pass_fds=[theirs.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            # Keys pressed at a terminal are for us only: we tell the others.
            start_new_session=True,
            # systemd hears of one process, which is not theirs.
            env={key: value for key, value in os.environ.items() if key != NOTIFY_SOCKET},
        )
    worker = Worker(index, early, process, ours)
    await worker.open(answer)
    return worker


def too_many(workers: int, cores: int) -> str:
    """Why so many cannot share so few cores."""
    most = f"at most {cores} can share {cores} cores" if cores > 1 else "there is one core only"
    return f"--workers {workers} is too many: {most}"


def ended_how(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"has ended with status {status}"

"""Between a worker and its supervisor: questions and answers, in both directions.

A message is a JSON object behind its length. Both ends are ours, and no one else has them.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from itertools import count
from typing import Any, Final

logger = logging.getLogger(__name__)

Message = dict[str, Any]
Answer = Callable[[Message], Awaitable[Message | None]]

SIZE_BYTES: Final = 4


class ChannelClosed(Exception):
    """Who is at the other end has gone."""


class Refused(Exception):
    """The other end could not do what it was asked. The message says why."""


class Channel:
    """One end. `run` reads until the other end has gone."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
    ) -> None:
        """`answer`: given a question, its answer; None for what wants none. Raises Refused."""
        self._reader, self._writer, self._answer = reader, writer, answer
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def over(cls, end: socket.socket, answer: Answer) -> "Channel":
        """A channel over one end of a connected pair of sockets, which it owns from now on."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end), answer)

    def tell(self, message: Message) -> None:
        """Send what needs no answer. Does nothing if nobody is there."""
        if not self._writer.is_closing():
            text = json.dumps(message).encode()
            self._writer.write(len(text).to_bytes(SIZE_BYTES) + text)

    async def ask(self, question: Message, *, timeout_s: float | None = None) -> Message:
        """The answer. Raises Refused, ChannelClosed, or TimeoutError after so many seconds."""
        if self._writer.is_closing():
            raise ChannelClosed
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self.tell({**question, "asks": number})
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            del self._asked[number]

    async def run(self) -> None:
        """Read, answer and hand over answers until the other end has gone."""
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    size = int.from_bytes(await self._reader.readexactly(SIZE_BYTES))
                    self._take(json.loads(await self._reader.readexactly(size)))
        finally:
            self.close()

    def close(self) -> None:
        """Nobody is asked any more; who waits for an answer gets ChannelClosed."""
        self._writer.close()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(ChannelClosed())
        for task in self._tasks:
            task.cancel()

    def _take(self, message: Message) -> None:
        if (number := message.get("answers")) is None:
            self._spawn(self._reply(message))
            return
        future = self._asked.get(number)
        if future is None or future.done():
            return  # nobody waits for it any more
        if "refused" in message:
            future.set_exception(Refused(message["refused"]))
        else:
            future.set_result(message["answer"])

    def _spawn(self, reply: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(reply)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, question: Message) -> None:
        number = question.pop("asks", None)
        try:
            reply: Message = {"answer": await self._answer(question)}
        except Refused as error:
            reply = {"refused": str(error)}
        except Exception as error:
            logger.exception("a message between worker and supervisor could not be answered")
            reply = {"refused": f"unexpected {error!r}"}
        if number is not None:
            self.tell({**reply, "answers": number})

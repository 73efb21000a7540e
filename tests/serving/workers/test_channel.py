"""Questions and answers over a real pair of sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serving.workers.channel import Channel, ChannelClosed, Message, Refused


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Channel, Channel, list[Message]]]:
    """Two ends, both of which are read, and what the second one was told."""
    heard: list[Message] = []

    async def answer(question: Message) -> Message:
        heard.append(question)
        match question:
            case {"do": "wait"}:
                await asyncio.Event().wait()
            case {"do": "refuse"}:
                raise Refused("not now")
            case {"do": "fail"}:
                raise ZeroDivisionError
        return {"heard": question["do"]}

    left, right = socket.socketpair()
    ends = await Channel.over(left, answer), await Channel.over(right, answer)
    reading = [asyncio.create_task(end.run()) for end in ends]
    try:
        yield *ends, heard
    finally:
        for end in ends:
            end.close()
        await asyncio.gather(*reading)


async def test_questions_go_both_ways_and_answers_find_who_asked() -> None:
    async with pair() as (here, there, _):
        waiting = asyncio.create_task(here.ask({"do": "wait"}))
        answers = await asyncio.gather(
            *(here.ask({"do": f"n{n}"}) for n in range(50)), there.ask({"do": "back"})
        )
        assert answers == [{"heard": f"n{n}"} for n in range(50)] + [{"heard": "back"}]
        assert not waiting.done()
        waiting.cancel()


async def test_what_is_large_arrives_whole_and_infinity_is_a_number() -> None:
    async with pair() as (here, _, heard):
        await here.ask({"do": "hold", "values": list(range(200_000)), "wait_s": float("inf")})
        assert heard[0]["values"][-1] == 199_999
        assert heard[0]["wait_s"] == float("inf")


async def test_a_refusal_says_why() -> None:
    async with pair() as (here, _, _):
        with pytest.raises(Refused, match=r"^not now$"):
            await here.ask({"do": "refuse"})


async def test_what_goes_wrong_there_is_logged_there_and_leaves_the_channel_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with pair() as (here, _, _):
        with pytest.raises(Refused, match="ZeroDivisionError"):
            await here.ask({"do": "fail"})
        assert "could not be answered" in caplog.text
        assert await here.ask({"do": "again"}) == {"heard": "again"}


async def test_nobody_waits_longer_than_asked() -> None:
    async with pair() as (here, _, _):
        with pytest.raises(TimeoutError):
            await here.ask({"do": "wait"}, timeout_s=0.01)


async def test_when_the_other_end_goes_who_waits_hears_of_it() -> None:
    async with pair() as (here, there, _):
        waiting = asyncio.create_task(here.ask({"do": "wait"}))
        await here.ask({"do": "first"})
        there.close()
        with pytest.raises(ChannelClosed):
            await waiting
        with pytest.raises(ChannelClosed):
            await here.ask({"do": "late"})
        here.tell({"do": "nothing"})

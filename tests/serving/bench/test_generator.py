"""The generator tells the truth, of servers that behave and of those that do not.

Delays are scripted, and what the server really did is written down by the same clock: no
test depends on how fast this machine is.
"""

import asyncio
import gc
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from serving.bench.connection import CannotConnect, resolve
from serving.bench.generator import Generator
from serving.bench.outcome import LOST, NO_CONNECTION, TIMED_OUT, Outcome
from serving.bench.poller import EpollPoller, Poller, SelectorPoller
from tests.support.scripted_server import Asked, Script, at_once, reply, request, scripted
from tests.support.server import free_port

POLLERS = (EpollPoller, SelectorPoller) if hasattr(select, "epoll") else (SelectorPoller,)


@contextmanager
def generator(
    port: int, count: int = 1000, padding: int = 0, **given: object
) -> Iterator[Generator]:
    requests = [request(number, padding) for number in range(count)]
    made = Generator(resolve("127.0.0.1", port), requests, **given)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def run(script: Script, due_s: list[float], padding: int = 0, **given: object) -> Outcome:
    with scripted(script) as server, generator(server.port, len(due_s), padding, **given) as made:
        return made.run(np.array(due_s), time.perf_counter() + 0.01)


def steady(count: int, gap_s: float) -> list[float]:
    return [number * gap_s for number in range(count)]


@pytest.mark.parametrize("poller", POLLERS)
def test_latency_is_what_the_server_took(poller: type[Poller]) -> None:
    """Within 2% of scripted delays, from when each was due to when its answer was written."""
    delays_s = np.random.default_rng(0).choice([0.3, 0.5, 0.9, 2.0], 150, p=[0.5, 0.3, 0.15, 0.05])

    async def as_scripted(asked: Asked) -> None:
        await asyncio.sleep(delays_s[asked.number])
        await asked.say(reply())

    due_s = np.array(steady(150, 0.01))
    with scripted(as_scripted) as server, generator(server.port, 150, poller=poller()) as made:
        made.open(100)
        began = time.perf_counter() + 0.05
        outcome = made.run(due_s, began)

    written_s = np.array([server.answered_at[n] for n in range(150)]) - began - due_s
    assert (outcome.status == 200).all()
    assert (outcome.latency_s >= written_s).all()
    assert (outcome.latency_s >= delays_s).all()
    for share in (0.5, 0.9, 0.95, 0.99):
        found, truth = np.quantile(outcome.latency_s, share), np.quantile(written_s, share)
        assert found == pytest.approx(truth, rel=0.02)


@pytest.mark.parametrize("connections", [1, 1000])
def test_a_stall_is_seen_by_all_who_came_during_it(connections: int) -> None:
    """No coordinated omission: with one connection too, over which none of them could be sent."""
    stalls = iter([1.0])

    async def stall_once(asked: Asked) -> None:
        if asked.nth == 50:
            time.sleep(next(stalls))  # noqa: ASYNC251
        await asked.say(reply())

    outcome = run(stall_once, steady(200, 0.01), connections=connections)

    # 100 were due while nothing was answered: the first of them waited 1 s, the last not at all.
    assert (outcome.status == 200).all()
    assert np.quantile(outcome.latency_s, 0.95) >= 0.85
    assert np.quantile(outcome.latency_s, 0.75) >= 0.45
    assert outcome.waited >= (90 if connections == 1 else 0)
    assert outcome.exhausted == (connections == 1)


def test_requests_go_out_in_turn_and_on_time() -> None:
    with scripted() as server, generator(server.port, 10) as made:
        began = time.perf_counter() + 0.05
        outcome = made.run(np.array(steady(40, 0.005)), began, turn=3)

    assert set(server.arrived_at) == set(range(10))
    assert (outcome.lateness_s >= 0).all()
    assert (outcome.latency_s >= outcome.lateness_s).all()
    assert 0 < outcome.cpu_share < 1


def test_connections_are_kept_and_used_again() -> None:
    with scripted() as server, generator(server.port, connections=5) as made:
        for _ in range(2):
            outcome = made.run(np.array(steady(50, 0.002)), time.perf_counter() + 0.01)

    assert (outcome.status == 200).all()
    assert outcome.connections <= 5
    assert server.connections <= 1 + 5  # the first is tried by who looks up the address


def test_every_second_request_refused_is_counted() -> None:
    async def refuse_every_second(asked: Asked) -> None:
        await asked.say(reply(429 if asked.number % 2 else 200))

    outcome = run(refuse_every_second, steady(40, 0.002))

    assert outcome.status.tolist() == [200, 429] * 20


def test_a_server_that_closes_each_connection_is_asked_over_new_ones() -> None:
    async def answer_and_close(asked: Asked) -> None:
        await asked.say(reply(200, b"{}", b"Connection: close"))
        asked.hang_up()

    outcome = run(answer_and_close, steady(40, 0.002), connections=5)

    assert (outcome.status == 200).all()


def test_who_is_hung_up_on_is_lost_and_nobody_else() -> None:
    async def hang_up_sometimes(asked: Asked) -> None:
        if asked.number % 4 == 3:
            asked.hang_up()
        else:
            await asked.say(reply())

    outcome = run(hang_up_sometimes, steady(40, 0.005))

    assert outcome.status.tolist() == [200, 200, 200, LOST] * 10
    assert np.isnan(outcome.latency_s).tolist() == [False, False, False, True] * 10


def test_half_an_answer_is_none() -> None:
    async def half(asked: Asked) -> None:
        await asked.say(reply(200, b"x" * 100)[:-50])
        asked.hang_up()

    assert (run(half, steady(3, 0.01)).status == LOST).all()


def test_an_answer_in_pieces_counts_from_its_last_one() -> None:
    async def slowly(asked: Asked) -> None:
        text = reply(200, b"0123456789")
        await asked.say(*(text[n : n + 8] for n in range(0, len(text), 8)), pause_s=0.02)

    outcome = run(slowly, steady(5, 0.01))

    assert (outcome.status == 200).all()
    assert (outcome.latency_s >= 0.1).all()


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n", reply()),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
        ),
        (reply(200, b"y" * 1_000_000),),
    ],
    ids=["100-continue", "chunked", "a megabyte"],
)
def test_unusual_answers_are_answers(pieces: tuple[bytes, ...]) -> None:
    async def say(asked: Asked) -> None:
        await asked.say(*pieces, pause_s=0.002)

    outcome = run(say, steady(10, 0.01), connections=2)

    assert (outcome.status == 200).all()


def test_a_body_may_end_with_the_connection() -> None:
    async def until_the_end(asked: Asked) -> None:
        await asked.say(b"HTTP/1.1 200 OK\r\n\r\n", b"all of it", pause_s=0.01)
        asked.hang_up()

    assert (run(until_the_end, steady(5, 0.01)).status == 200).all()


def test_a_large_request_is_sent_whole() -> None:
    """Larger than any socket's buffer, so that it does not fit in one send()."""
    outcome = run(at_once, steady(4, 0.02), padding=20_000_000, timeout_s=60)

    assert (outcome.status == 200).all()


def test_patience_ends() -> None:
    async def only_even(asked: Asked) -> None:
        if asked.number % 2 == 0:
            await asked.say(reply())

    outcome = run(only_even, steady(10, 0.02), timeout_s=0.5, connections=3)

    assert set(outcome.status.tolist()) == {200, TIMED_OUT}
    assert (outcome.status[1::2] == TIMED_OUT).all()


def test_what_is_no_http_is_lost() -> None:
    async def nonsense(asked: Asked) -> None:
        await asked.say(b"220 mail.example.org ESMTP\r\n\r\n")

    assert (run(nonsense, steady(5, 0.01)).status == LOST).all()


def test_more_than_was_asked_for_ends_the_connection_not_the_run() -> None:
    async def twice(asked: Asked) -> None:
        await asked.say(reply() + reply())

    assert (run(twice, steady(5, 0.01)).status == LOST).all()


def test_nobody_there_is_found_before_the_run_and_during_it() -> None:
    port = free_port()
    with pytest.raises(CannotConnect):
        resolve("127.0.0.1", port)
    with scripted() as server:
        address = resolve("127.0.0.1", server.port)
    made = Generator(address, [request(0)])
    try:
        with pytest.raises(CannotConnect):
            made.open(1)
        outcome = made.run(np.array(steady(20, 0.001)), time.perf_counter())
    finally:
        made.close()

    assert (outcome.status == NO_CONNECTION).all()


def test_a_server_that_is_gone_leaves_nobody_waiting() -> None:
    with scripted() as server:
        made = Generator(resolve("127.0.0.1", server.port), [request(0)])
        before = made.run(np.array(steady(20, 0.001)), time.perf_counter())
    try:
        after = made.run(np.array(steady(20, 0.001)), time.perf_counter())
    finally:
        made.close()

    assert (before.status == 200).all()
    assert (after.status < 0).all()


def test_progress_is_told_and_the_collector_comes_back() -> None:
    told: list[tuple[float, int]] = []
    assert gc.isenabled()
    with scripted() as server, generator(server.port) as made:
        made.run(
            np.array(steady(100, 0.01)),
            time.perf_counter(),
            lambda elapsed_s, answered: told.append((elapsed_s, answered)),
        )

    assert gc.isenabled()
    assert len(told) >= 2
    assert told == sorted(told)


def test_a_schedule_of_nothing_is_a_run() -> None:
    assert len(run(at_once, [])) == 0

"""Both clients on real sockets, and servers that do to them what servers do."""

import asyncio
import gc
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from serving.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    ServerFailed,
    Unavailable,
)
from tests.support.server import free_port
from tests.support.wire import assert_same

from .scripted import BOTH, Asked, answering, doubled, refusal, reply, scripted

CERTIFICATE = Path(__file__).parent / "self_signed.pem"
"""For 127.0.0.1, with its key; nobody trusts it but these tests."""

both = pytest.mark.parametrize("client_of", BOTH, ids=["blocking", "awaiting"])


def in_turn(*scripts):
    """The first request gets the first script, and so on; the last is for all others."""

    async def script(asked: Asked) -> None:
        await scripts[min(asked.nth, len(scripts) - 1)](asked)

    return script


async def hang_up(asked: Asked) -> None:
    await asked.body()
    asked.writer.close()


@both
def test_one_connection_carries_all_calls_of_one_caller(client_of):
    with scripted() as server, client_of(server.url) as client:
        for number in range(5):
            answer = client.infer("m", x=[number], request_id=str(number))
            assert answer["y"].tolist() == [2 * number]
            assert answer.id == str(number)

    assert server.connections == 1


@both
def test_headers_go_with_every_request(client_of):
    with scripted() as server:
        with client_of(server.url, headers={"Authorization": "Bearer it"}) as client:
            client.infer("m", x=[1])
        with client_of(server.url.removeprefix("http://")) as client:
            client.infer("m", x=[1])

    assert b"Authorization: Bearer it\r\n" in server.heads[0]
    assert b"Authorization" not in server.heads[1]


@both
def test_many_inputs_ask_once_what_the_model_takes(client_of):
    with scripted() as server, client_of(server.url) as client:
        answers = list(client.map("m", ({"x": [n]} for n in range(100)), concurrency=10))
        assert [answer["y"].tolist() for answer in answers] == [[2 * n] for n in range(100)]

    assert server.described == 1
    assert server.connections <= 10


@both
def test_tls_is_spoken_with_whom_is_trusted(client_of):
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(CERTIFICATE)
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    with scripted(tls=theirs) as server:
        with client_of(server.url, ssl_context=trusting) as client:
            for number in range(3):
                assert client.infer("m", x=[number])["y"].tolist() == [2 * number]
            large = np.arange(1_000_000, dtype="f4")
            assert_same(client.infer("m", x=large)["y"], large * 2)
        assert server.connections == 1
        with (
            client_of(server.url, retries=0) as client,
            pytest.raises(Unavailable, match="certificate verify failed"),
        ):
            client.infer("m", x=[1])


# --- ends of connections


@both
def test_a_kept_connection_that_the_server_closes_is_replaced(client_of):
    async def answer_and_close(asked: Asked) -> None:
        await asked.answer()
        asked.writer.close()

    with scripted(answer_and_close) as server, client_of(server.url, retries=0) as client:
        for number in range(5):
            answer = client.infer("m", x=[number])
            assert answer["y"].tolist() == [2 * number]
            assert answer.attempts == 1

    assert server.connections == 5


@both
def test_a_kept_connection_that_ends_under_a_request_is_replaced_at_once(client_of):
    with (
        scripted(in_turn(hang_up, answering)) as server,
        client_of(server.url, retries=0) as client,
    ):
        client.metadata("m")  # opens the connection
        answer = client.infer("m", x=[1])

    assert answer["y"].tolist() == [2]
    assert answer.attempts == 1
    assert server.connections == 2


@both
def test_a_new_connection_that_ends_before_a_reply_is_a_failure_to_try_again(client_of):
    async def always_close(asked: Asked) -> None:
        await asked.answer()
        asked.writer.close()

    with (
        scripted(in_turn(always_close, hang_up, hang_up, answering)) as server,
        client_of(server.url) as client,
    ):
        client.infer("m", x=[1])
        answer = client.infer("m", x=[2])

    assert answer["y"].tolist() == [4]
    assert answer.attempts in (2, 3)  # who finds the end before sending has none for nothing
    assert len(server.heads) == 4


@both
def test_nobody_there_is_told_after_all_attempts(client_of):
    with client_of(f"http://127.0.0.1:{free_port()}", retries=1) as client:
        with pytest.raises(Unavailable, match="cannot be reached") as caught:
            client.infer("m", x=[1])
        assert not client.ready()

    assert caught.value.attempts == 2


@both
@pytest.mark.parametrize("cut_to", [5, 60, -1])
def test_a_reply_that_breaks_off_is_not_asked_for_again(client_of, cut_to):
    async def break_off(asked: Asked) -> None:
        await asked.body()
        await asked.say(doubled(np.array([1.0], "f4"))[:cut_to])
        asked.writer.close()

    with (
        scripted(break_off) as server,
        client_of(server.url) as client,
        pytest.raises(ServerFailed, match="broke off in the middle"),
    ):
        client.infer("m", x=[1])

    assert len(server.heads) == 1


@both
def test_what_is_no_http_is_not_asked_for_again(client_of):
    async def gibberish(asked: Asked) -> None:
        await asked.body()
        await asked.say(b"220 mail.example ESMTP\r\n")
        await asked.until_it_leaves()

    with scripted(gibberish) as server, client_of(server.url) as client:
        with pytest.raises(ServerFailed, match="no HTTP"):
            client.infer("m", x=[1])
        assert server.saw_it_leave()

    assert len(server.heads) == 1


@both
def test_replies_of_other_shapes_are_read(client_of):
    # Without a length of its own; that of the JSON stays.
    whole = doubled(np.array([1.5], "f4"), "", b"X-Padding: " + b"a" * 5000)
    head, _, body = whole.partition(b"\r\n\r\n")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if b"Content-Length: 1" not in line)
    length = b"Inference-Header-Content-Length: %d" % (len(body) - 4)

    async def chunked(asked: Asked) -> None:
        await asked.body()
        pieces = [b"1\r\n%b\r\n" % bytes([byte]) for byte in body]
        await asked.say(head, b"\r\nTransfer-Encoding: chunked\r\n" + length + b"\r\n\r\n")
        await asked.say(*pieces, b"0\r\n\r\n")

    async def to_the_end(asked: Asked) -> None:
        await asked.body()
        await asked.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n" + length)
        await asked.say(b"\r\n\r\n" + body)
        asked.writer.close()

    async def too_much(asked: Asked) -> None:
        await asked.body()
        await asked.say(whole + b"HTTP/1.1 200 Not asked for\r\n\r\n")

    with (
        scripted(in_turn(chunked, to_the_end, too_much, answering)) as server,
        client_of(server.url) as client,
    ):
        for _ in range(4):
            assert client.infer("m", x=[1.5])["y"].tolist() == [3.0]

    assert server.connections == 3


# --- refusals


@both
def test_who_is_told_to_come_back_in_a_second_does(client_of):
    async def refuse(asked: Asked) -> None:
        await asked.body()
        await asked.say(refusal(429, b"Retry-After: 1"))

    with scripted(in_turn(refuse, answering)) as server, client_of(server.url) as client:
        answer = client.infer("m", x=[1], timeout_s=20)

    assert answer.attempts == 2
    assert server.arrived[1] - server.arrived[0] >= 1
    first, second = (
        int(head.partition(b"X-Request-Timeout-Ms: ")[2].split()[0]) for head in server.heads
    )
    assert first <= 20_000
    assert second <= first - 1000
    assert server.connections == 1


@both
def test_a_refusal_before_the_body_is_read_is_understood(client_of):
    async def refuse(asked: Asked) -> None:
        assert asked.length > 2**25
        await asked.say(refusal(413, b"Connection: close"))
        asked.writer.close()

    with scripted(in_turn(refuse, answering)) as server, client_of(server.url) as client:
        with pytest.raises((InvalidRequest, Unavailable)) as caught:
            client.infer("m", x=np.zeros(2**24, "f4"))
        answer = client.infer("m", x=[1])

    assert caught.value.status == 413
    assert answer["y"].tolist() == [2]


# --- deadlines


@both
def test_a_silent_server_is_given_up_and_learns_it(client_of):
    async def be_silent(asked: Asked) -> None:
        await asked.body()
        await asked.until_it_leaves()

    with scripted(be_silent) as server, client_of(server.url) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"within 2\.5 s"):
            client.infer("m", x=[1], timeout_s=2.5)  # whatever stalls, the head is sent by then
        assert time.monotonic() - began >= 2.5
        assert server.saw_it_leave()

    assert len(server.heads) == 1


@both
def test_a_reply_that_trickles_does_not_stretch_the_deadline(client_of):
    async def trickle(asked: Asked) -> None:
        await asked.body()
        whole = doubled(np.zeros(1000, "f4"))
        await asked.say(*(bytes([byte]) for byte in whole), pause_s=0.05)

    with (
        scripted(trickle) as server,
        client_of(server.url) as client,
        pytest.raises(DeadlineExceeded),
    ):
        client.infer("m", x=[1], timeout_s=2.5)

    assert len(server.heads) == 1


@both
def test_a_server_that_takes_no_connection_is_given_up(client_of):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        # What is in the way of the next one is never accepted.
        blockers = [socket.socket() for _ in range(4)]
        for blocker in blockers:
            blocker.setblocking(False)
            blocker.connect_ex(("127.0.0.1", port))
        with (
            client_of(f"http://127.0.0.1:{port}") as client,
            pytest.raises(DeadlineExceeded),
        ):
            client.infer("m", x=[1], timeout_s=0.3)
        for blocker in blockers:
            blocker.close()


async def test_a_call_that_is_cancelled_closes_its_connection():
    asked_for = threading.Event()

    async def be_silent(asked: Asked) -> None:
        asked_for.set()
        await asked.body()
        await asked.until_it_leaves()

    with scripted(be_silent) as server:
        async with AsyncClient(server.url) as client:
            call = asyncio.create_task(client.infer("m", x=[1]))
            assert await asyncio.to_thread(asked_for.wait, 30)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(server.saw_it_leave)

    assert len(server.heads) == 1


# --- sharing


def test_threads_share_a_client_and_its_connections():
    async def slowly(asked: Asked) -> None:
        await asyncio.sleep(0.001)
        await asked.answer()

    def call(number: int) -> bool:
        answer = client.infer("m", x=[number], request_id=str(number))
        return answer["y"].tolist() == [2 * number] and answer.id == str(number)

    with (
        scripted(slowly) as server,
        Client(server.url, max_connections=3) as client,
        ThreadPoolExecutor(16) as threads,
    ):
        assert all(threads.map(call, range(400)))

    assert server.connections <= 3


async def test_tasks_share_a_client_and_its_connections():
    async def slowly(asked: Asked) -> None:
        await asyncio.sleep(0.001)
        await asked.answer()

    with scripted(slowly) as server:
        async with AsyncClient(server.url, max_connections=3) as client:
            answers = await asyncio.gather(*(client.infer("m", x=[n]) for n in range(400)))

    assert [answer["y"].tolist() for answer in answers] == [[2 * n] for n in range(400)]
    assert server.connections <= 3


@both
def test_who_waits_too_long_for_a_connection_is_late(client_of):
    begun, go_on = threading.Event(), threading.Event()

    async def wait(asked: Asked) -> None:
        begun.set()
        await asyncio.to_thread(go_on.wait, 30)
        await asked.answer()

    with (
        scripted(in_turn(wait, answering)) as server,
        client_of(server.url, max_connections=1) as client,
    ):
        if client_of is Client:
            with ThreadPoolExecutor(1) as threads:
                first = threads.submit(client.infer, "m", x=[1])
                assert begun.wait(30)
                with pytest.raises(DeadlineExceeded):
                    client.infer("m", x=[2], timeout_s=0.2)
                go_on.set()
                assert first.result()["y"].tolist() == [2]
        else:
            outcomes = client.map("m", [{"x": [1]}, {"x": [2]}], timeout_s=0.2, errors="yield")
            assert [type(outcome) for outcome in outcomes] == [DeadlineExceeded] * 2
            go_on.set()


@both
def test_a_client_that_is_closed_says_so(client_of):
    with scripted() as server, client_of(server.url) as client:
        client.infer("m", x=[1])
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.infer("m", x=[1])


FORKED = """
import os, sys
from serving.client import Client

client = Client(sys.argv[1])
assert client.infer("m", x=[1])["y"].tolist() == [2]
child = os.fork()
for number in range(50):
    mine = number if child else -number
    assert client.infer("m", x=[mine])["y"].tolist() == [2 * mine]
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_fork_does_not_take_its_parents_replies():
    with scripted() as server:
        subprocess.run([sys.executable, "-c", FORKED, server.url], check=True, timeout=60)

    assert server.connections == 2


def test_a_client_lives_on_in_another_event_loop():
    with scripted() as server, warnings.catch_warnings():
        # Who does not close a client before its loop ends is warned, as of any transport.
        warnings.simplefilter("ignore", ResourceWarning)
        client = AsyncClient(server.url)
        for _ in range(2):
            assert asyncio.run(client.infer("m", x=[1]))["y"].tolist() == [2]
        asyncio.run(client.aclose())
        del client
        gc.collect()

    assert server.connections == 2


def test_importing_it_brings_neither_the_engine_nor_the_server():
    heavy = "onnxruntime fastapi starlette uvicorn click grpc batching models aiohttp httpx"
    code = f"import sys, serving.client; print(*set({heavy.split()!r}) & set(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )

    assert run.stdout.split() == []


# --- abuse


@both
def test_what_cannot_be_sent_is_refused_before_it_is(client_of):
    with scripted() as server, client_of(server.url) as client:
        with pytest.raises(InvalidRequest, match="given twice"):
            client.infer("m", {"x": [1]}, x=[1])
        with pytest.raises(InvalidRequest, match="takes the inputs 'x'; got none"):
            client.infer("m")

    assert server.heads == []


@both
def test_a_page_instead_of_an_index_is_no_answer(client_of):
    async def page(asked: Asked) -> None:
        await asked.say(reply(b"<html>"))

    with (
        scripted(page) as server,
        client_of(server.url) as client,
        pytest.raises(ServerFailed, match="listed its models"),
    ):
        client.models()


def test_the_refusal_of_a_stream_names_its_input():
    async def refuse_some(asked: Asked) -> None:
        if b"\0\0\x80\x3f" in await asked.body():
            await asked.say(refusal(429))
        else:
            await asked.say(reply(b"{}", status=500))

    with scripted(refuse_some) as server, Client(server.url, retries=0) as client:
        outcomes = list(client.map("m", [{"x": [0]}, {"x": [1]}], errors="yield"))

    assert [(type(each), each.index) for each in outcomes] == [(ServerFailed, 0), (Overloaded, 1)]

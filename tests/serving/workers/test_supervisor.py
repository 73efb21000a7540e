"""The parent's decisions; that they work with real processes is in integration/test_workers."""

import signal
import socket
import sys

import pytest

from serving.listening import CannotListen, listen, share, url_of
from serving.settings import Settings
from serving.workers import process, supervisor
from serving.workers.channel import Message
from serving.workers.process import COMMAND, Worker, ended_how, too_many
from serving.workers.supervisor import CannotServe, Supervisor, pause_after, supervise


def refuse(*_: object) -> None:
    raise AssertionError


def test_more_workers_than_cores_start_nothing() -> None:
    with pytest.raises(CannotServe, match="--workers 100000 is too many"):
        supervise(Settings(port=0, workers=100_000), listening=refuse, ready=refuse)


def test_too_many_says_how_many_there_may_be() -> None:
    assert too_many(9, 4).endswith("at most 4 can share 4 cores")
    assert too_many(2, 1).endswith("there is one core only")


def test_who_dies_again_and_again_is_replaced_more_and_more_slowly() -> None:
    pauses = [pause_after(failures) for failures in range(10_000)]
    assert pauses[:4] == [0, 0.5, 1, 2]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30


async def test_a_worker_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows is as with any that dies: integration/test_workers."""
    hanging = (sys.executable, "-c", "import time; time.sleep(600)")
    monkeypatch.setattr(process, "COMMAND", hanging)
    monkeypatch.setattr(supervisor, "HUNG_S", 0.05)

    async def answer(_: Worker, __: Message) -> Message:
        raise AssertionError

    worker = await process.start(0, early=True, answer=answer)
    leading = Supervisor(
        Settings(workers=2), url="", scratch=None, listening=refuse, ready=refuse, progress=refuse
    )
    await leading._ping_one(worker)
    assert await worker.ended() == -signal.SIGKILL


def test_how_a_process_has_ended() -> None:
    assert ended_how(-signal.SIGKILL) == "was ended by SIGKILL"
    assert ended_how(3) == "has ended with status 3"


def test_a_worker_takes_no_modules_from_where_it_was_started() -> None:
    assert "-P" in COMMAND


def test_a_shared_port_is_for_those_who_share_it() -> None:
    with share("127.0.0.1", 0) as one:
        port = one.getsockname()[1]
        with share("127.0.0.1", port) as other:
            one.listen()
            other.listen()
            assert url_of(one) == url_of(other)
            with pytest.raises(CannotListen, match="in use"):
                listen("127.0.0.1", port)


def test_who_holds_a_port_without_listening_gets_no_connection() -> None:
    with share("127.0.0.1", 0) as held, pytest.raises(ConnectionRefusedError):
        socket.create_connection(held.getsockname())

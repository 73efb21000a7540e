"""Waiting for sockets, no longer than was asked."""

import select
import socket
import time

import pytest

from serving.bench.poller import READ, WRITE, EpollPoller, Poller, PunctualSleep, SelectorPoller

POLLERS = (EpollPoller, SelectorPoller) if hasattr(select, "epoll") else (SelectorPoller,)


@pytest.mark.parametrize("kind", POLLERS)
def test_a_socket_is_announced_when_it_has_something(kind: type[Poller]) -> None:
    poller = kind()
    here, there = socket.socketpair()
    with here, there:
        poller.add(here.fileno(), READ)
        assert poller.wait(0) == []
        there.send(b"x")
        assert poller.wait(5) == [(here.fileno(), READ)]
        poller.change(here.fileno(), READ | WRITE)
        assert poller.wait(-1) == [(here.fileno(), READ | WRITE)]
        poller.remove(here.fileno())
        assert poller.wait(0.01) == []
    poller.close()


@pytest.mark.parametrize("kind", POLLERS)
def test_it_does_not_return_before_its_time(kind: type[Poller]) -> None:
    poller = kind()
    with PunctualSleep():
        began = time.perf_counter()
        poller.wait(0.003)
        assert time.perf_counter() - began >= 0.003
    poller.close()

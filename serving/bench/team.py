"""One generator in this thread, or several in processes of their own that share a schedule.

Each of n takes every n-th request of the one schedule, so that together they send exactly
what one would.
"""

import multiprocessing
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from typing import Any, NamedTuple, Protocol

from .connection import Address, CannotConnect
from .generator import TICK_S, Generator, Tick
from .outcome import Outcome, merged
from .plan import Plan

READY_S = 60.0
"""Longer than a process takes to start on a busy machine."""


class Way(NamedTuple):
    """How requests are sent, whatever their rate."""

    address: Address
    requests: Sequence[bytes]
    connections: int = 2000
    """The most, of all processes together."""
    timeout_s: float = 10.0


class TeamFailed(Exception):
    """A process of ours ended, or does not answer."""


class Team(Protocol):
    """Whoever sends."""

    def open(self, count: int) -> None:
        """Have so many connections before they are needed. Raises CannotConnect."""
        ...

    def run(self, plan: Plan, tick: Tick = ...) -> Outcome:
        """Send what the plan says. Raises TeamFailed."""
        ...

    def close(self) -> None: ...


class Alone:
    """In this thread."""

    def __init__(self, way: Way) -> None:
        self._generator = Generator(
            way.address, way.requests, connections=way.connections, timeout_s=way.timeout_s
        )

    def open(self, count: int) -> None:
        self._generator.open(count)

    def run(self, plan: Plan, tick: Tick = lambda _, __: None) -> Outcome:
        schedule = plan.schedule()
        return self._generator.run(schedule, time.perf_counter() + 0.02, tick)

    def close(self) -> None:
        self._generator.close()


class Crew:
    """In processes."""

    def __init__(self, way: Way, size: int) -> None:
        # Spawned, not forked: a child has nothing of ours but what it is given.
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Pipe] = []
        self._processes: list[Any] = []
        share = way._replace(connections=max(1, way.connections // size))
        try:
            for number in range(size):
                ours, theirs = context.Pipe()
                arguments = (theirs, share, number, size)
                process = context.Process(target=_member, args=arguments, daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)
            self._answers(READY_S)
        except BaseException:
            self.close()
            raise

    def open(self, count: int) -> None:
        self._tell(("open", -(-count // len(self._pipes))))
        self._answers(READY_S)

    def run(self, plan: Plan, tick: Tick = lambda _, __: None) -> Outcome:
        # All processes of a system have the same monotonic clock. Each first makes the
        # whole schedule, so the beginning must be late enough.
        began = time.perf_counter() + 0.3 + 0.2e-6 * plan.rate * plan.whole_s
        self._tell(("run", plan, began))
        waits_s = plan.whole_s + READY_S
        return merged(self._answers(waits_s, lambda: tick(time.perf_counter() - began, -1)))

    def close(self) -> None:
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(None)
            pipe.close()
        for process in self._processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()

    def _tell(self, command: tuple[Any, ...]) -> None:
        try:
            for pipe in self._pipes:
                pipe.send(command)
        except OSError as error:
            raise TeamFailed("a process of the generator has ended") from error

    def _answers(self, within_s: float, meanwhile: Any = lambda: None) -> list[Any]:
        """One of each. Raises CannotConnect if that was one, or TeamFailed."""
        answers = []
        until = time.perf_counter() + within_s
        try:
            for pipe in self._pipes:
                while not pipe.poll(TICK_S):
                    if time.perf_counter() > until:
                        raise TeamFailed(f"a process of the generator is silent for {within_s:g} s")
                    meanwhile()
                answers.append(pipe.recv())
        except (EOFError, OSError) as error:
            raise TeamFailed("a process of the generator has ended") from error
        for answer in answers:
            if isinstance(answer, CannotConnect):
                raise answer
        return answers


def team(way: Way, processes: int = 1) -> Team:
    """Whoever sends, of so many processes; one is this one."""
    return Alone(way) if processes == 1 else Crew(way, processes)


def _member(pipe: Pipe, way: Way, number: int, size: int) -> None:
    """The life of one process."""
    # Ctrl-C goes to all of a terminal's processes; ours ends us by closing the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    generator = Generator(
        way.address, way.requests, connections=way.connections, timeout_s=way.timeout_s
    )
    turn = number * len(way.requests) // size
    try:
        pipe.send(None)
        while command := pipe.recv():
            if command[0] == "open":
                try:
                    generator.open(command[1])
                    pipe.send(None)
                except CannotConnect as error:
                    pipe.send(error)
            else:
                _, plan, began = command
                schedule = plan.schedule()[number::size]
                pipe.send(generator.run(schedule, began, turn=turn))
    except (EOFError, OSError):
        pass  # the one who started us is gone
    finally:
        generator.close()

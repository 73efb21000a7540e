import asyncio
from math import inf

from batching.alarm import Alarm
from tests.support.virtual_time import run


def rings_at(*instants: float) -> list[float]:
    """When an alarm rings that is set to these instants, one after the other, at time 0."""

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        rung: list[float] = []
        alarm = Alarm(lambda: loop.time() - start, lambda: rung.append(loop.time() - start))
        for instant in instants:
            alarm.set(instant)
            assert alarm.at == instant
        await asyncio.sleep(100)
        assert alarm.at == inf
        return rung

    return run(main())


def test_it_rings_once_at_its_instant():
    assert rings_at(5.0) == [5.0]


def test_only_the_last_instant_counts():
    assert rings_at(5.0, 3.0) == [3.0]


def test_an_instant_that_has_passed_rings_at_once():
    assert rings_at(-1.0) == [0.0]


def test_never_is_silence():
    """Lesson 18: nothing is left behind."""
    assert rings_at(5.0, inf) == []

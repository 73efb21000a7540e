"""A window over many inputs: bounded, in order, and cancelled without remains. In virtual time."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client import Answer, JitneyError, Overloaded
from serving.client.windows import check, over
from tests.support import virtual_time


class Model:
    """Takes some time for each input, and fails on some."""

    def __init__(self, fails: set[int] = frozenset(), seed: int = 0) -> None:  # type: ignore[assignment]
        self.fails = fails
        self.under_way = self.most = self.asked = 0
        self.random = random.Random(seed)

    async def __call__(self, item: int) -> Answer:
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.random.random())
        finally:
            self.under_way -= 1
        if item in self.fails:
            raise Overloaded("full")
        return Answer({"y": np.array(item)}, model="m")


class Source:
    """Counts what was taken from it."""

    def __init__(self, size: int, pause_s: float = 0.0) -> None:
        self.size, self.pause_s, self.taken = size, pause_s, 0

    def __iter__(self) -> Iterator[int]:
        for item in range(self.size):
            self.taken += 1
            yield item

    async def awaited(self) -> AsyncIterator[int]:
        for item in self:
            await asyncio.sleep(self.pause_s)
            yield item


async def take(stream: Any, into: list[int]) -> None:
    # Not at once: what came before a failure counts.
    async for answer in stream:
        into.append(answer.index)  # noqa: PERF401


def opened(source: Any, model: Model, **options: Any) -> Any:
    usual = {"concurrency": 4, "ordered": True, "errors": "raise", "before": nothing}
    return over(source, model, **{**usual, **options})


async def nothing() -> None:
    pass


@given(
    st.integers(0, 60), st.integers(1, 12), st.booleans(), st.booleans(), st.integers(0, 99),
    st.floats(0, 2),
)  # fmt: skip
def test_every_input_has_its_answer_and_never_too_many_are_out(
    size, concurrency, ordered, awaited, seed, slow_s
):
    async def main() -> None:
        model, source = Model(seed=seed), Source(size)
        got = []
        inputs = source.awaited() if awaited else source
        async for answer in opened(inputs, model, concurrency=concurrency, ordered=ordered):
            assert int(answer["y"]) == answer.index
            got.append(answer.index)
            assert source.taken <= len(got) + concurrency
            await asyncio.sleep(slow_s)  # whoever takes them may be slow
            assert source.taken <= len(got) + concurrency
        assert model.most <= concurrency
        assert (got if ordered else sorted(got)) == list(range(size))
        assert len(asyncio.all_tasks()) == 1

    virtual_time.run(main())


def test_answers_come_as_they_are_there_while_the_source_is_slow():
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        stream = opened(Source(4, pause_s=10.0).awaited(), Model())
        at = [clock() - began async for _ in stream]
        assert all(10 * n <= when < 10 * n + 1 for n, when in enumerate(at, start=1)), at

    virtual_time.run(main())


@given(st.sets(st.integers(0, 29)), st.booleans())
def test_failures_may_come_in_the_place_of_answers(fails, ordered):
    async def main() -> None:
        got = [
            (outcome.index, isinstance(outcome, Overloaded))
            async for outcome in opened(Source(30), Model(fails), ordered=ordered, errors="yield")
        ]
        expected = [(n, n in fails) for n in range(30)]
        assert (got if ordered else sorted(got)) == expected

    virtual_time.run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_a_failure_ends_the_stream_and_cancels_the_rest(ordered):
    async def main() -> None:
        model, source = Model({5}), Source(1000)
        got: list[int] = []
        with pytest.raises(Overloaded) as caught:
            await take(opened(source, model, ordered=ordered), got)
        assert caught.value.index == 5
        if ordered:
            assert got == [0, 1, 2, 3, 4]
        assert model.under_way == 0
        assert source.taken <= len(got) + 5
        assert len(asyncio.all_tasks()) == 1

    virtual_time.run(main())


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("closing", [True, False])
def test_who_leaves_cancels_what_is_under_way(ordered, closing):
    async def main() -> None:
        model = Model()
        stream = opened(Source(1000), model, ordered=ordered)
        if closing:
            async with aclosing(stream):
                await anext(stream)
        else:
            async for _ in stream:
                break
            del stream
            await asyncio.sleep(0.001)  # the loop closes what nobody holds, in its next turns
        assert model.under_way == 0
        assert model.asked <= 5
        assert len(asyncio.all_tasks()) == 1

    virtual_time.run(main())


def test_who_is_cancelled_leaves_nothing_behind():
    async def main() -> None:
        model = Model()
        task = asyncio.create_task(take(opened(Source(1000), model), []))
        await asyncio.sleep(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert model.under_way == 0
        assert len(asyncio.all_tasks()) == 1

    virtual_time.run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_the_failure_of_a_source_is_raised(ordered):
    def source() -> Iterator[int]:
        yield from range(3)
        raise LookupError("no more")

    async def main() -> None:
        got: list[int] = []
        with pytest.raises(LookupError, match="no more"):
            await take(opened(source(), Model(), concurrency=2, ordered=ordered), got)
        assert len(asyncio.all_tasks()) == 1
        if ordered:
            assert got == [0, 1, 2]

    virtual_time.run(main())


def test_what_is_no_failure_of_a_call_is_raised_even_where_failures_are_yielded():
    async def broken(item: Any) -> Answer:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await take(opened(Source(3), broken, errors="yield"), [])  # type: ignore[arg-type]

    virtual_time.run(main())


@pytest.mark.parametrize(("concurrency", "errors"), [(0, "raise"), (1, "hide")])
def test_what_cannot_be(concurrency, errors):
    with pytest.raises(ValueError, match=r"concurrency|errors"):
        check(concurrency, errors)


def test_an_error_knows_no_index_outside_of_a_stream():
    assert JitneyError("no").index is None

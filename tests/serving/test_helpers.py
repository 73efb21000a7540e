"""Timelines of what goes before and after the models, in virtual time."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batching import DeadlineExceeded, Draining, ThreadExecutor
from serving.helpers import Helpers, Line, Step
from tests.support.virtual_time import run

T = TypeVar("T")


class Virtual:
    """As many threads as it is told, on which every step takes a second of virtual time."""

    alive = True

    def __init__(self, threads: int) -> None:
        self._free = threads
        self._queue: list[tuple[Any, Callable[[Any], None]]] = []

    def run(self, function: Callable[[], T]) -> Awaitable[T]:
        raise NotImplementedError

    def start(self, function: Any, then: Callable[[Any], None]) -> None:
        self._queue.append((function, then))
        self._go_on()

    def close(self) -> None:
        pass

    def _go_on(self) -> None:
        while self._free and self._queue:
            self._free -= 1
            asyncio.get_running_loop().call_later(1, self._end, *self._queue.pop(0))

    def _end(self, function: Any, then: Callable[[Any], None]) -> None:
        self._free += 1
        came: Any
        try:
            came = function()
        except Exception as error:
            came = error
        if not isinstance(came, DeadlineExceeded):
            function.args[0].took_s = 1.0
        self._go_on()
        then(came)


class Told(list[tuple[float, str]]):
    """What came of whom, and when."""

    def __init__(self, threads: int = 1) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.now = lambda: loop.time() - began
        self.helpers = Helpers(Virtual(threads), threads, clock=self.now)
        self.ran: list[str] = []
        self.line = Line()

    def before(
        self,
        name: str,
        line: Line,
        *,
        rows: int = 1,
        priority: int = 5,
        deadline: float = inf,
        fails: bool = False,
    ) -> Step:
        def work() -> str:
            self.ran.append(name)
            if fails:
                raise ValueError(name)
            return name

        return self.helpers.before(
            line,
            work,
            self._then(name),
            rows=rows,
            priority=priority,
            arrived=self.now(),
            deadline=deadline,
        )

    def after(self, name: str) -> Step:
        return self.helpers.after(self.line, lambda: self.ran.append(name), self._then(name))

    def _then(self, name: str) -> Callable[[Any], None]:
        def then(came: Any) -> None:
            late = "late " if isinstance(came, DeadlineExceeded) else ""
            error = "error " if isinstance(came, ValueError) else ""
            self.append((self.now(), late + error + name))

        return then


def test_where_nobody_waits_it_is_begun_at_once() -> None:
    async def main() -> None:
        told, line = Told(), Line()
        assert told.helpers.wait_s(line) == 0

        told.before("a", line, rows=3)

        assert line.rows == 3
        await asyncio.sleep(5)
        assert told == [(1, "a")]
        assert line.rows == 0
        assert line.before.row_s == pytest.approx(1 / 3)

    run(main())


def test_what_goes_after_a_run_goes_first_then_the_most_urgent() -> None:
    async def main() -> None:
        told, line = Told(), Line()
        for name in ("1", "2"):
            told.before(name, line)
        told.before("patient", line, deadline=90)
        told.before("urgent", line, deadline=50)
        told.before("important", line, deadline=95, priority=1)
        told.after("after")

        await asyncio.sleep(20)
        names = [name for _, name in told]
        assert names == ["1", "2", "after", "important", "urgent", "patient"]

    run(main())


def test_each_model_has_its_turn() -> None:
    """One with more than it can do holds up only its own callers."""

    async def main() -> None:
        told, crowded, quiet = Told(), Line(), Line()
        for n in range(20):
            told.before(f"crowd {n}", crowded, deadline=30)
        await asyncio.sleep(4.5)
        told.before("quiet", quiet, deadline=30)

        assert told.helpers.wait_s(quiet) < told.helpers.wait_s(crowded, 5)
        await asyncio.sleep(30)
        assert [name for _, name in told].index("quiet") == 7
        assert len(told) == 21

    run(main())


def test_whose_time_runs_out_in_the_line_is_told_at_once_and_never_run() -> None:
    """Lesson 15."""

    async def main() -> None:
        told, line = Told(), Line()
        for name in ("1", "2", "3"):
            told.before(name, line, priority=1)
        # It is behind 3 in the line, and it is told before 3 has begun.
        told.before("4", line, deadline=1.5)

        assert line.rows == 4
        await asyncio.sleep(1.75)
        assert told == [(1, "1"), (pytest.approx(1.5), "late 4")]
        assert line.rows == 2
        await asyncio.sleep(10)
        assert told.ran == ["1", "2", "3"]

    run(main())


def test_whose_turn_comes_too_late_is_told_so() -> None:
    async def main() -> None:
        told, line = Told(), Line()
        told.before("1", line)
        told.before("2", line, deadline=0.5)  # handed to the thread, which is busy until 1
        told.before("3", line)
        await asyncio.sleep(10)
        assert [name for _, name in told] == ["1", "late 2", "3"]
        assert told.ran == ["1", "3"]

    run(main())


def test_who_leaves_the_line_is_not_run() -> None:
    """Lesson 15."""

    async def main() -> None:
        told, line = Told(), Line()
        steps = [told.before(name, line) for name in ("1", "2", "3", "4")]
        after = told.after("after")
        told.helpers.discard(steps[2])
        told.helpers.discard(steps[2])
        told.helpers.discard(after)
        assert line.rows == 3
        told.helpers.discard(steps[1])  # handed to the thread, and not begun
        await asyncio.sleep(10)

        assert told.ran == ["1", "4"]
        assert [name for _, name in told] == ["1", "4"]
        assert line.rows == 0

    run(main())


def test_what_a_step_raises_is_told() -> None:
    async def main() -> None:
        told, line = Told(), Line()
        told.before("bad", line, fails=True)
        told.before("good", line)
        await asyncio.sleep(5)
        assert told == [(1, "error bad"), (2, "good")]

    run(main())


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_how_long_the_line_is_said_to_be(threads: int) -> None:
    async def main() -> None:
        told, line = Told(threads), Line()
        for _ in range(40):  # to learn what one takes
            told.before("", line)
            await asyncio.sleep(2)
        assert line.before.row_s == pytest.approx(1, rel=0.01)
        told.clear()
        for _ in range(40):
            told.before("", line)
        waits_s = told.helpers.wait_s(line, 5)

        told.before("last", line)
        began = told.now()
        await asyncio.sleep(60)
        ended = next(at for at, name in told if name == "last")
        assert ended - began - 1 == pytest.approx(waits_s, abs=1.1)
        # Who is more important has nobody before him but those under way.
        assert told.helpers.wait_s(line, 5) == 0

    run(main())


def test_who_is_more_important_waits_for_fewer() -> None:
    async def main() -> None:
        told, line = Told(), Line()
        line.before.row_s = 1.0
        for _ in range(10):
            told.before("", line)
        assert told.helpers.wait_s(line, 5) == pytest.approx(10)
        assert told.helpers.wait_s(line, 4) == pytest.approx(2)
        assert told.helpers.wait_s(line) == pytest.approx(2)

    run(main())


def test_one_odd_step_is_not_believed() -> None:
    line = Line()
    step = Step(lambda: None, lambda _: None, line, rows=2)
    for step.took_s in [0.02] * 50 + [60.0]:
        line.observe(step)

    assert line.before.row_s < 0.0125


def test_what_goes_after_a_run_is_counted_too() -> None:
    """A light step before and a heavy one after: who comes waits for both of everybody."""

    async def main() -> None:
        told = Told()
        line = told.line
        line.after.each_s, line.before.row_s = 2.0, 0.5
        for name in ("1", "2", "3"):
            told.before(name, line)
        told.after("after")
        # Two are with the thread, one waits, and one has its run behind it.
        assert told.helpers.wait_s(line, 5) == pytest.approx(0.5 + 0.5 + 2.5 + 2)

    run(main())


def test_each_who_waits_is_counted_beside_his_rows() -> None:
    async def main() -> None:
        told, line = Told(), Line()
        line.before.each_s, line.before.row_s = 1.0, 0.5
        for rows in (1, 1, 2, 300):
            told.before("", line, rows=rows)
        # Two are with the thread, and two wait.
        assert told.helpers.wait_s(line, 5) == pytest.approx(2 * 1.5 + 2 + 151)

    run(main())


def test_what_goes_before_and_what_goes_after_are_learned_apart() -> None:
    line = Line()
    for is_after, took_s in ((False, 0.25), (True, 2.0)):
        step = Step(lambda: None, lambda _: None, line, is_after=is_after)
        step.took_s = took_s
        line.observe(step)

    assert (line.before.predict(1), line.after.predict(1)) == (0.25, 2.0)


def test_others_turns_take_what_their_steps_take() -> None:
    async def main() -> None:
        told, ours, lines = Told(), Line(), [Line() for _ in range(9)]
        told.before("", ours)
        told.before("", ours)
        ours.before.row_s = 1.0
        for _ in range(3):
            told.before("", ours)
        for line in lines:
            line.before.row_s = 0.001
            for _ in range(10):
                told.before("", line)
        assert told.helpers.wait_s(ours, 5) == pytest.approx(3 + 9 * 4 * 0.001)
        assert told.helpers.wait_s(lines[0], 5) == pytest.approx(3 + 9 * 10 * 0.001)

    run(main())


def test_those_who_were_served_are_forgotten_though_others_always_wait() -> None:
    async def main() -> None:
        told, line = Told(), Line()
        for _ in range(500):
            for _ in range(3):
                told.before("", line, deadline=told.now() + 1e9)
            await asyncio.sleep(1)
            assert len(told.helpers._by_deadline) < 3 * line.rows + 200

    run(main())


def test_one_that_fails_to_be_told_does_not_hold_up_the_others() -> None:
    async def main() -> None:
        told, line = Told(), Line()
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)

        def fails(_: Any) -> None:
            raise RuntimeError

        for patience_s in (inf, inf, 0.5, 0.5):
            told.before(f"{patience_s}", line, deadline=patience_s)
            told.helpers.before(
                line, str, fails, rows=1, priority=5, arrived=0.0, deadline=patience_s
            )
        await asyncio.sleep(0.75)
        assert [name for _, name in told] == ["late 0.5", "late 0.5"]
        await told.helpers.close()
        assert line.rows == 0

    run(main())


def test_those_who_left_are_forgotten_though_nobody_has_a_turn() -> None:
    async def main() -> None:
        told, line = Told(), Line()
        for name in ("1", "2", "3"):
            told.before(name, line)
        for _ in range(5000):
            told.helpers.discard(told.before("leaves", line, deadline=told.now() + 1e9))
        assert line.rows == 3
        assert len(line.steps) < 200
        assert len(told.helpers._by_deadline) < 200

    run(main())


def test_who_waits_when_it_is_closed_is_told_so() -> None:
    """Lesson 19: who was refused has heard it."""

    async def main() -> None:
        executor = ThreadExecutor(1)
        helpers, line = Helpers(executor, 1), Line()
        goes_on, begun = threading.Event(), threading.Event()
        told: dict[str, Any] = {}

        def work() -> str:
            begun.set()
            goes_on.wait(60)
            return "done"

        def start(name: str) -> None:
            helpers.before(
                line,
                work,
                lambda came: told.update({name: came}),
                rows=1,
                priority=5,
                arrived=0.0,
                deadline=inf,
            )

        for name in ("runs", "handed over", "waits"):
            start(name)
        helpers.after(line, work, lambda came: told.update({"after": came}))
        await asyncio.to_thread(begun.wait)
        threading.Timer(0.05, goes_on.set).start()
        await helpers.close()
        await helpers.close()

        assert told.pop("runs") == "done"
        assert told.keys() == {"handed over", "waits", "after"}
        assert all(isinstance(came, Draining) for came in told.values())
        assert line.rows == 0
        with pytest.raises(Draining):
            start("too late")

    asyncio.run(main())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["before", "after", "leave", "wait"]),
            st.integers(0, 2),
            st.integers(1, 3),
            st.sampled_from([0.4, 1.0, 2.5, 7.0, inf]),
        ),
        max_size=40,
    ),
    st.integers(1, 3),
)
def test_everybody_is_told_once_or_has_left(events: list[Any], threads: int) -> None:
    async def main() -> None:
        told, lines = Told(threads), [Line(), Line(), Line()]
        steps: dict[str, Step] = {}
        left: set[str] = set()
        for number, (event, which, rows, patience_s) in enumerate(events):
            name = str(number)
            if event == "before":
                steps[name] = told.before(
                    name,
                    lines[which],
                    rows=rows,
                    priority=rows,
                    deadline=told.now() + patience_s,
                )
            elif event == "after":
                steps[name] = told.after(name)
            elif event == "leave" and steps:
                gone = sorted(steps)[number % len(steps)]
                told.helpers.discard(steps[gone])
                left.add(gone)
            else:
                await asyncio.sleep(rows / 2)
        await asyncio.sleep(100)
        names = [name.removeprefix("late ") for _, name in told]
        assert len(names) == len(set(names))
        # Who left may have been told before.
        assert set(steps) - left <= set(names) <= set(steps)
        assert len(told.ran) == len(set(told.ran))
        for line in lines:
            assert (line.rows, line.steps, line.ahead()) == (0, [], (0, 0))
            assert told.helpers.wait_s(line, 10) == 0

    run(main())

"""What a run takes on this machine: the grid of rows and lengths, within a time budget.

Decides which points are measured, in what order, and what is concluded of them. Knows
no engine: what is run, and the clock, are arguments.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .proof import Proof

ROWS = (1, 8, 32, 2, 16, 64, 4, 128, 256)
"""In the order of what they tell: one, the usual, the many, then what is between."""
LENGTHS = (8, 32, 128, 256, 512, 1024, 2048, 4096, 8192)

REPEATS = 9
ROUNDS = 2
# Of the budget: a point's repeats end after the one, and no point is begun that is
# predicted to take more than the other.
POINT_SHARE = 0.04
LARGEST_SHARE = 0.4

TOO_DEAR = 1.10
"""A row that costs so much more than at half the rows: more rows are not measured."""
AS_GOOD = 1.03
"""A row that costs at most so much more than the cheapest."""
MORE_SLOTS = 1.10
"""More runs at one time must give so many times the rows a second."""

# A row that is twice as long costs between two and four times as much, if long enough.
LONGER = 1.5

SHORTEST_S = 1e-7


@dataclass(frozen=True)
class Profile:
    """What was found out about a model on this machine."""

    samples: tuple[tuple[int, int, float], ...]
    """Rows, length (0: fixed shape) and seconds of a run, in this order."""
    threads: int
    """Threads that a run uses."""
    slots: int
    """Runs at one time."""
    proof: Proof
    max_rows: int
    """The largest batch measured in which a row costs about as little as it can."""

    @property
    def worth_keeping(self) -> bool:
        """Whether a later start should rely on it: not if there was no time for two batches."""
        return not self.proof.batches or len({rows for rows, _, _ in self.samples}) > 1


class Point(NamedTuple):
    """A batch to be measured."""

    rows: int
    length: int = 0


Trial = Callable[[Point], Callable[[], object]]
"""Prepares a batch, and gives what runs it."""
Clock = Callable[[], float]
Measured = dict[Point, float]


def lengths_up_to(longest: int) -> tuple[int, ...]:
    """The lengths to measure for rows of at most this length; (0,) if all are the same."""
    if not longest:
        return (0,)
    return (*(length for length in LENGTHS if length < longest), longest)


def grid(lengths: Sequence[int], max_rows: int) -> list[Point]:
    """All points, the most telling first: the corners, then from few and short to many and long."""
    rows = [count for count in ROWS if count <= max_rows]
    if max_rows < max(ROWS) and max_rows not in ROWS:
        rows.append(max_rows)
    ranked = sorted(
        (i + j, i, Point(count, length))
        for i, count in enumerate(rows)
        for j, length in enumerate(lengths)
    )
    corners = [Point(rows[i], lengths[j]) for i, j in ((0, 0), (0, -1), (min(1, len(rows) - 1), 0))]
    return list(dict.fromkeys([*corners, *(point for _, _, point in ranked)]))


def measure(
    trial: Trial,
    points: Iterable[Point],
    *,
    budget_s: float,
    clock: Clock,
    tell: Callable[[Point], None] = lambda _: None,
) -> Measured:
    """Seconds of a run for the points, as many as the budget allows; at least for the first.

    Of what fits in the rest of the budget by what is known so far, the first in order
    is next. Raises what the first point raises; others that fail are left out.
    """
    ends = clock() + budget_s
    most_s = POINT_SHARE * budget_s
    todo = list(dict.fromkeys(points))
    done: Measured = {}
    for _ in range(ROUNDS):
        # What else the machine does comes in bursts, which a second look later may miss;
        # and with them what seemed to forbid more rows.
        for known, run_s in done.items():
            if clock() + 2 * run_s < ends:
                done[known] = min(run_s, _time(trial(known), ends, most_s, clock))
        while point := _next(todo, done, left_s=ends - clock(), budget_s=budget_s):
            todo.remove(point)
            tell(point)
            try:
                done[point] = _time(trial(point), ends, most_s, clock)
            except Exception:
                # Longer than the model's table of positions, or more than memory holds.
                if not done:
                    raise
                todo = [one for one in todo if one.rows < point.rows or one.length < point.length]
    return done


def _next(todo: Sequence[Point], done: Measured, *, left_s: float, budget_s: float) -> Point | None:
    if not done:
        return todo[0] if todo else None
    # Once to warm up, and once at least to measure.
    most_s = min(left_s, LARGEST_SHARE * budget_s)
    affordable = (point for point in todo if 2 * _predicted(point, done) <= most_s)
    return next((point for point in affordable if not _outgrown(point, done)), None)


def _predicted(point: Point, done: Measured) -> float:
    """Seconds at most, if rows never cost more in company: by the measured point nearest to it."""
    return min(
        run_s * max(1.0, point.rows / known.rows) * _longer(point.length, known.length)
        for known, run_s in done.items()
    )


def _longer(length: int, known: int) -> float:
    times: float = max(1.0, length / max(1, known)) ** LONGER
    return times


def _outgrown(point: Point, done: Measured) -> bool:
    """Whether fewer rows of this length have shown that more make each of them dearer."""
    costs = row_costs(done, point.length)
    sizes = [rows for rows in costs if rows < point.rows]
    return any(
        costs[rows] > TOO_DEAR * min(costs[fewer] for fewer in sizes if 2 * fewer <= rows)
        for rows in sizes
        if rows >= 2 * min(sizes)
    )


def _time(run: Callable[[], object], ends: float, most_s: float, clock: Clock) -> float:
    """Seconds of the fastest of a few runs, after one to warm up.

    The fastest, not the median: whatever else a machine does only ever adds to a run,
    so the least is nearest to what the run itself takes, and steadiest from few repeats.
    That the machine is busy, and a run slower for it, is learned while serving.
    """
    run()
    began = now = clock()
    fastest = float("inf")
    for _ in range(REPEATS):
        run()
        before, now = now, clock()
        fastest = min(fastest, now - before)
        if now - began >= most_s or now + fastest > ends:
            break
    return max(fastest, SHORTEST_S)


def row_costs(measured: Mapping[Point, float], length: int) -> dict[int, float]:
    """Seconds a row, by the rows of the batch, at one length."""
    return {
        point.rows: run_s / point.rows
        for point, run_s in sorted(measured.items())
        if point.length == length
    }


def useful_rows(measured: Mapping[Point, float]) -> int:
    """The most rows, at whatever length, with which a row costs about as little as it can."""
    most = 1
    for length in {point.length for point in measured}:
        costs = row_costs(measured, length)
        least = min(costs.values())
        most = max(most, *(rows for rows, cost in costs.items() if cost <= AS_GOOD * least))
    return most


def samples_of(measured: Mapping[Point, float]) -> tuple[tuple[int, int, float], ...]:
    """As a profile holds them."""
    return tuple((point.rows, point.length, run_s) for point, run_s in sorted(measured.items()))

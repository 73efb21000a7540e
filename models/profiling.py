"""Finding a model's profile: what to run it with, the proof, the threads, the grid.

Everything here runs the model; what is concluded is decided in proof.py, slots.py
and profile.py. One deadline stands over all of it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from . import probes
from .config import ModelConfig
from .errors import BadModel
from .pipeline import Pipeline, TextPipeline
from .profile import (
    ROWS,
    Point,
    Profile,
    grid,
    lengths_up_to,
    measure,
    samples_of,
    useful_rows,
)
from .proof import FIXED, SWITCHED_OFF, UNPROVEN, Proof, prove, try_alone
from .repository import ModelSource
from .runtime import Runtime
from .signature import Signature, Tensors, sample
from .slots import best_rates, candidates, fastest

R = TypeVar("R", bound=Runtime)
Tell = Callable[[str], None]

# Of the budget. What is left is the grid's.
PROOF_SHARE = 0.2
SLOTS_SHARE = 0.2
# To compare numbers of threads by; a tiny model has done them long before its share is over.
ENOUGH_RUNS = 2000

WARM_UP_S = 0.2
"""A batch that takes longer is not run before the first caller's: a start is to be quick."""

GUESS_S = 1e-3
"""What a run is said to take where none could be made."""


@dataclass
class Subject:
    """A model that is being profiled."""

    source: ModelSource
    runtime: Runtime
    pipeline: Pipeline | None
    cores: int
    crowded: bool = False
    """Whether more models than cores are served."""

    @property
    def signature(self) -> Signature:
        return self.runtime.signature

    @property
    def config(self) -> ModelConfig:
        return self.source.config


def example_of(
    signature: Signature, pipeline: Pipeline | None, config: ModelConfig, rows: int = 1
) -> Tensors:
    """A request as callers send it, from the settings or made up."""
    if not config.example and isinstance(pipeline, TextPipeline):
        return probes.text_request(*[probes.sentence(9)] * rows)
    return sample(pipeline.signature if pipeline else signature, rows, config.example)


def run_example(subject: Subject) -> None:
    """Run the model's example once. Raises whatever it raises."""
    pipeline = subject.pipeline
    row = example_of(subject.signature, pipeline, subject.config)
    subject.runtime.run(pipeline.before(row).tensors if pipeline else row)


def warm_up(subject: Subject, profile: Profile) -> None:
    """Run a large batch in each slot. Raises whatever they raise.

    The engine takes its memory in steps, and keeps it: what large batches need is taken
    now, rather than whenever the first ones come.
    """
    short = [sample for sample in profile.samples if sample[2] <= WARM_UP_S]
    rows, length, _ = max(
        short, key=lambda one: (one[0] * max(1, one[1]), one[0]), default=(1, 0, 0.0)
    )
    if rows > 1 or length:
        found = next(iter(_attempts(subject, 1)))
        inputs = probes.batch(found, subject.signature, rows, length)
        with ThreadPoolExecutor(profile.slots, thread_name_prefix="warm") as slots:
            list(slots.map(subject.runtime.run, [inputs] * profile.slots))


def find_profile(
    subject: Subject,
    *,
    threads: int,
    budget_s: float,
    reopen: Callable[[int], R],
    keep: Callable[[R], None],
    tell: Tell,
    clock: Callable[[], float] = time.perf_counter,
) -> Profile:
    """Prove, choose the threads, and measure.

    threads: what the subject's runtime uses now. reopen: opens it with others, to be
    compared; the winner goes to `keep`, losers are closed. Raises BadModel if the model
    fails on the example that its settings give.
    """
    ends = clock() + budget_s
    config, cores = subject.config, subject.cores
    may_batch = subject.signature.batched and config.batching and config.max_batch_rows != 1
    tell("proving that its rows do not depend on each other" if may_batch else "running it")
    tried = try_alone(
        subject.runtime.run,
        _attempts(subject, probes.COUNT if may_batch else 1),
        most=probes.COUNT if may_batch else 1,
        until=clock() + PROOF_SHARE * budget_s,
        clock=clock,
    )
    if not tried:
        return Profile(((1, 0, GUESS_S),), threads, cores // threads, UNPROVEN, 1)
    if may_batch:
        proof = prove(subject.runtime.run, subject.signature, tried)
    else:
        proof = SWITCHED_OFF if subject.signature.batched else FIXED
    rows = [one.inputs for one in tried]

    def trial(point: Point, runtime: Runtime | None = None) -> Callable[[], object]:
        run = (runtime or subject.runtime).run
        inputs = probes.batch(rows, subject.signature, *point)
        return lambda: run(inputs)

    longest = _longest(subject)
    max_rows = _max_rows(subject, proof, rows)
    slots = cores // threads
    if config.threads is None and cores > 1:
        share_s = SLOTS_SHARE * budget_s
        point, run_s = _usual_batch(trial, longest, max_rows, budget_s=share_s / 3, clock=clock)
        threads = _choose_threads(
            subject, point, trial, reopen, keep, tell, min(share_s * 2 / 3, ENOUGH_RUNS * run_s)
        )
        slots = cores // threads
    measured = measure(
        trial,
        grid(lengths_up_to(longest), max_rows),
        budget_s=max(0.0, ends - clock()),
        clock=clock,
        tell=lambda point: tell(f"measuring {_words(point)}"),
    )
    return Profile(samples_of(measured), threads, slots, proof, useful_rows(measured))


def _attempts(subject: Subject, count: int) -> Iterable[list[Tensors]]:
    """Rows as the runtime takes them; the first attempt begins with the settings' example."""
    config, pipeline = subject.config, subject.pipeline
    example = None
    if config.example:
        try:
            row = sample((pipeline or subject.runtime).signature, 1, config.example)
            example = pipeline.before(row).tensors if pipeline else row
            subject.runtime.run(example)
        except Exception as error:
            raise BadModel(f"{subject.source.path} fails on its example: {error}.") from error
    if isinstance(pipeline, TextPipeline):
        return [probes.text_attempt(pipeline, example)]
    return probes.attempts(subject.signature, example, count)


def _longest(subject: Subject) -> int:
    if all(spec.pad is None for spec in subject.signature.inputs):
        return 0
    if isinstance(subject.pipeline, TextPipeline):
        return probes.longest_text(subject.pipeline)
    return probes.DEFAULT_LONGEST


def _max_rows(subject: Subject, proof: Proof, rows: Sequence[Tensors]) -> int:
    """Rows of the largest batch worth measuring."""
    if not proof.batches:
        return 1
    return min(subject.config.max_batch_rows or max(ROWS), max(ROWS), probes.most_rows(rows[0]))


def _usual_batch(
    trial: Callable[[Point], Callable[[], object]],
    longest: int,
    max_rows: int,
    *,
    budget_s: float,
    clock: Callable[[], float],
) -> tuple[Point, float]:
    """About the batch that will be run when there is much to do, and its seconds."""
    length = lengths_up_to(longest)[:2][-1]
    counts = [count for count in (1, 8, 32) if count <= max_rows]
    points = [Point(count, length) for count in counts]
    measured = measure(trial, points, budget_s=budget_s, clock=clock)
    cheapest = min(measured, key=lambda point: measured[point] / point.rows)
    return cheapest, measured[cheapest]


def _choose_threads(
    subject: Subject,
    point: Point,
    trial: Callable[[Point, Runtime], Callable[[], object]],
    reopen: Callable[[int], R],
    keep: Callable[[R], None],
    tell: Tell,
    budget_s: float,
) -> int:
    """Compare all candidates at one batch; whoever does not win is closed."""
    counts = candidates(subject.cores)
    tell(f"comparing {' and '.join(map(str, counts))} threads a run")
    opened = {count: reopen(count) for count in counts[1:]}
    runtimes: dict[int, Runtime] = {counts[0]: subject.runtime, **opened}
    by_slots = {subject.cores // count: count for count in counts}
    try:
        runs = [(slots, trial(point, runtimes[count])) for slots, count in sorted(by_slots.items())]
        rates = best_rates(runs, seconds=budget_s / len(runs))
        chosen = by_slots[fastest(rates, crowded=subject.crowded)]
        if chosen in opened:
            keep(opened.pop(chosen))
    finally:
        for runtime in opened.values():
            runtime.close()
    return chosen


def _words(point: Point) -> str:
    rows = f"{point.rows} row{'s' if point.rows != 1 else ''}"
    return f"{rows} of length {point.length}" if point.length else rows

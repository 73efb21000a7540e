"""Threads a run, where only the rate counts: measured with the rows that are there.

A server prefers more threads for one run, unless several runs at one time win clearly: who is
alone is answered sooner. Nobody waits for a row of a table, so here it is the other way about.
"""

from dataclasses import replace

from models import Model
from models.onnx_runtime import OnnxRuntime
from models.pipeline import TextRuntime, find_pipeline
from models.slots import best_rates, candidates

from .mapper import Mapper, Work
from .plan import Plan

WORTH_IT_S = 4.0
"""Shorter runs go as the profile says: looking would take longer than it could save."""
RUNS = 20
"""And so do those of fewer batches."""
LOOK_S = 0.3
"""Seconds that each candidate is measured for."""
AS_GOOD = 0.95
"""Of the best rate: then more runs at one time are chosen, with fewer threads each. The threads
of one run wait for each other, and so for whatever else goes on beside them."""


def worth_tuning(plan: Plan, rows: float) -> bool:
    """Whether there are enough rows left that a better choice would pay."""
    run_s = plan.cost.at_best(plan.batch_rows, _typical_length(plan))
    total_s = rows / plan.batch_rows * run_s / plan.slots
    return total_s > WORTH_IT_S and total_s > RUNS * run_s


def tuned(model: Model, plan: Plan, mapper: Mapper, work: Work, cores: int) -> tuple[Model, Plan]:
    """The model with the threads and slots that are fastest on one batch of the work.

    What `mapper` uses is closed if another wins.
    """
    config = model.source.config
    counts = [count for count in candidates(cores) if count != plan.threads]
    if config.threads is not None or not counts or not work.batches or work.feed is None:
        return model, plan
    batch = work.feed.take(work.batches[len(work.batches) // 2])
    models = {plan.slots: model}
    threads = {plan.slots: plan.threads}
    for count in counts:
        models[cores // count] = reopened(model, count)
        threads[cores // count] = count
    runs = [
        (slots, lambda runtime=one.runtime: runtime.run(batch)) for slots, one in models.items()
    ]
    rates = best_rates(runs, seconds=LOOK_S)
    best = max(slots for slots in rates if rates[slots] >= AS_GOOD * max(rates.values()))
    for slots, one in models.items():
        if slots != best:
            one.runtime.close()
    return models[best], plan.with_threads(threads[best], best)


def reopened(model: Model, threads: int) -> Model:
    """The same model with other threads a run. The one that is given stays open."""
    engine = OnnxRuntime(model.source.path, threads=threads)
    if isinstance(model.runtime, TextRuntime):
        runtime, pipeline = find_pipeline(model.source, engine)
        return replace(model, runtime=runtime, pipeline=pipeline)
    return replace(model, runtime=engine)


def _typical_length(plan: Plan) -> int:
    lengths = sorted({length for _, length, _ in plan.samples})
    return lengths[min(1, len(lengths) - 1)]

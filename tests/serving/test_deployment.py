"""What a model's settings do to how it is served: each of them has an effect."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from batching import Cores, Ticket, TooLate, TooManyRows
from models import InvalidInput, ModelConfig, ModelSource, PipelineFailed, Tensors, load
from models.pipeline import UserPipeline
from serving.cli.banner import serving_banner
from serving.deployment import Answer, Deployment
from serving.engine import Engine
from serving.observe.metrics import outcomes
from serving.settings import Settings
from tests.support.asgi import loaded
from tests.support.onnx_models import doubler, identity, similarity


def deployed(path: Path, config: ModelConfig, settings: Settings | None = None) -> Deployment:
    return Deployment(
        load(ModelSource("m", "1", path, config), cores=1), settings or Settings(), Cores(1)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return doubler(tmp_path / "m.onnx", width=1)


def rows(*values: float) -> Tensors:
    return {"x": np.array(values, np.float32).reshape(-1, 1)}


async def batch_rows(deployment: Deployment, requests: list[Tensors]) -> list[int]:
    """Send the requests together, and tell how many rows rode in the batch of each."""
    batcher = deployment.batcher
    async with batcher:
        tickets = [batcher.ticket(request, rows=len(request["x"])) for request in requests]
        answers = await asyncio.gather(*map(batcher.carry, tickets))
    for request, answer in zip(requests, answers, strict=True):
        assert answer["y"].tolist() == (request["x"] * 2).tolist()
    return [ticket.batch.rows for ticket in tickets if ticket.batch]


@asynccontextmanager
async def engine_with(path: Path, config: ModelConfig) -> AsyncIterator[Engine]:
    engine = Engine([ModelSource("m", "1", path, config)], Settings())
    engine.start()
    try:
        await engine.loaded()
        yield engine
    finally:
        await engine.stop()


# --- batching


async def test_where_nothing_is_set_measurement_decides_and_requests_ride_together(
    path: Path,
) -> None:
    deployment = deployed(path, ModelConfig())

    assert deployment.max_rows > 4
    assert max(await batch_rows(deployment, [rows(n) for n in range(8)])) > 4


async def test_max_batch_rows_bounds_what_rides_together(path: Path) -> None:
    deployment = deployed(path, ModelConfig(max_batch_rows=2))

    assert await batch_rows(deployment, [rows(n) for n in range(6)]) == [2] * 6


async def test_a_request_larger_than_the_largest_batch_is_cut_and_joined(path: Path) -> None:
    deployment = deployed(path, ModelConfig(max_batch_rows=2))

    assert max(await batch_rows(deployment, [rows(1, 2, 3, 4, 5)])) <= 2


async def test_batching_can_be_switched_off(path: Path) -> None:
    deployment = deployed(path, ModelConfig(batching=False))

    assert not deployment.batching
    assert await batch_rows(deployment, [rows(n) for n in range(4)]) == [1] * 4


async def test_without_batching_a_request_of_many_rows_runs_whole(path: Path) -> None:
    deployment = deployed(path, ModelConfig(batching=False))

    assert await batch_rows(deployment, [rows(1, 2, 3)]) == [3]


async def test_models_whose_shapes_rule_it_out_are_not_batched(tmp_path: Path) -> None:
    fixed = deployed(identity(tmp_path / "a.onnx", TensorProto.FLOAT, [1, 4]), ModelConfig())
    compared = deployed(similarity(tmp_path / "b.onnx"), ModelConfig())

    assert (fixed.batching, fixed.max_rows) == (False, 1)
    assert (compared.batching, compared.max_rows) == (False, 1)


# --- limits: the model's own, else the server's


async def test_max_queue_rows_bounds_what_may_wait(path: Path) -> None:
    settings = Settings(max_queue_rows=5)

    for config, limit in ((ModelConfig(max_queue_rows=3), 3), (ModelConfig(), 5)):
        deployment = deployed(path, config, settings)
        async with deployment.batcher as batcher:
            assert len((await batcher.submit(rows(*range(limit)), rows=limit))["y"]) == limit
            with pytest.raises(TooManyRows, match=f"at most {limit} rows"):
                await batcher.submit(rows(*range(limit + 1)), rows=limit + 1)


def test_slo_ms_is_the_models_own_or_else_the_servers(path: Path) -> None:
    settings = Settings(slo_ms=700)

    assert deployed(path, ModelConfig(slo_ms=5), settings).patience_s() == 0.005
    assert deployed(path, ModelConfig(), settings).patience_s() == 0.7


def test_where_nobody_says_how_long_a_slow_model_gets_what_it_needs(path: Path) -> None:
    deployment = deployed(path, ModelConfig())

    assert deployment.patience_s() == 10
    deployment.cost.coefficients = (20.0, 0.0, 0.0, 0.0)
    assert deployment.patience_s(rows=4) > 10


async def ask(engine: Engine, **how: object) -> Answer:
    how = {"arrived": time.monotonic(), "timeout_s": None, "priority": 0, **how}
    return await engine.deployment("m", None).infer(rows(1), **how)  # type: ignore[arg-type]


async def test_what_cannot_be_answered_within_slo_ms_is_refused(path: Path) -> None:
    """Lesson 13."""
    async with engine_with(path, ModelConfig(slo_ms=1e-6)) as engine:
        with pytest.raises(TooLate):
            await ask(engine)
        assert engine.deployment("m", None).needed_s(0, time.monotonic(), 0) > 1e-9

    async with engine_with(path, ModelConfig(slo_ms=60_000)) as engine:
        assert (await ask(engine)).outputs["y"].tolist() == [[2]]


async def test_the_callers_own_time_counts_and_not_the_models(path: Path) -> None:
    async with engine_with(path, ModelConfig(slo_ms=1e-6)) as engine:
        assert (await ask(engine, timeout_s=60)).outputs["y"].tolist() == [[2]]


async def test_time_counts_from_when_the_request_came(path: Path) -> None:
    async with engine_with(path, ModelConfig()) as engine:
        with pytest.raises(TooLate):
            await ask(engine, timeout_s=1.0, arrived=time.monotonic() - 1.0)


@pytest.mark.parametrize(("asked", "given"), [(0, 5), (1, 1), (10, 10), (11, 5), (2**63, 5)])
async def test_priorities_are_ten_and_others_are_the_default(
    path: Path, asked: int, given: int
) -> None:
    seen = []
    async with engine_with(path, ModelConfig()) as engine:
        batcher = engine.deployment("m", None).batcher
        carry = batcher.carry

        async def watched(ticket: Ticket[Tensors, Tensors], **more: Any) -> Tensors:
            seen.append(ticket.priority)
            return await carry(ticket, **more)

        batcher.carry = watched  # type: ignore[method-assign]
        await ask(engine, priority=asked)

    assert seen == [given]


# --- what people are shown


async def test_the_description_and_the_example_are_shown(path: Path) -> None:
    config = ModelConfig(description="Twice as much", example={"x": [21]})

    async with engine_with(path, config) as engine:
        shown = serving_banner(engine, "http://localhost", 0.1)

    assert "m (version 1): Twice as much\n" in shown
    assert '"data":[21]' in shown


# --- what is counted where something follows the model

AFTER = """\
import threading

waits, goes_on = threading.Event(), threading.Event()


def before(inputs):
    return inputs


def after(outputs):
    value = float(outputs["y"][0, 0])
    if value == -2:
        raise RuntimeError("after cannot do this")
    if value == -4:
        raise ValueError("not this one")
    if value == -6:
        waits.set()
        goes_on.wait(60)
    return outputs
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    doubler(tmp_path / "models" / "m" / "1" / "model.onnx", width=1)
    (tmp_path / "models" / "m" / "pipeline.py").write_text(AFTER)
    return tmp_path / "models"


async def counted_of(engine: Engine, value: float) -> dict[str, int]:
    """What one more request is counted as, whose rows hold this number."""
    deployment = engine.deployment("m", None)
    before = outcomes(deployment.statistics.totals)
    with contextlib.suppress(PipelineFailed, InvalidInput):
        await deployment.infer(rows(value), arrived=time.monotonic(), timeout_s=None, priority=5)
    after = outcomes(deployment.statistics.totals)
    return {name: count - before[name] for name, count in after.items() if count != before[name]}


async def test_a_request_is_counted_once_whatever_its_pipeline_does(folder: Path) -> None:
    async with loaded(folder) as engine:
        assert await counted_of(engine, 1) == {"success": 1}
        assert await counted_of(engine, -1) == {"failed": 1}
        assert await counted_of(engine, -2) == {"refused": 1}
        totals = engine.deployment("m", None).statistics.totals
        assert totals.refused == {"pipeline_failed": 1, "invalid": 1}
        assert totals.latency.count == 3


async def test_who_leaves_while_the_pipeline_is_at_work_is_counted_once(folder: Path) -> None:
    async with loaded(folder) as engine:
        pipeline = engine.deployment("m", None).model.pipeline
        assert isinstance(pipeline, UserPipeline)
        code = pipeline._after.__globals__
        asked = asyncio.create_task(counted_of(engine, -3))
        await asyncio.to_thread(code["waits"].wait, 60)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        code["goes_on"].set()
        counted = outcomes(engine.deployment("m", None).statistics.totals)
        assert counted == {"success": 0, "failed": 0, "refused": 0, "late": 0, "left": 1}

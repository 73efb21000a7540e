"""What one process says, and several together."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from batching import Cores, TooLate
from models import ModelConfig, ModelSource, load
from serving.deployment import Deployment
from serving.observe.metrics import rendered
from serving.observe.report import GAUGES, Values, gauges, report, together
from serving.settings import Settings
from serving.version import VERSION
from tests.serving.test_door import until
from tests.support.held_model import held
from tests.support.onnx_models import doubler


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    source = ModelSource("m", "1", doubler(tmp_path / "m.onnx", width=1), ModelConfig())
    return Deployment(load(source, cores=1), Settings(), Cores(1))


def test_a_process_says_what_it_counts_and_what_is_so_now(deployment: Deployment) -> None:
    deployment.statistics.failed(TooLate(needed_s=1.0, allowed_s=0.0))

    values = report([deployment], ready=True, missing=[("broken", "2")])

    model, missing = values["models"]
    assert (values["version"], values["ready"]) == (VERSION, 1.0)
    assert (model["name"], model["version"]) == ("m", "1")
    assert model["totals"]["refused"] == {"too_late": 1}
    assert model["gauges"].keys() == GAUGES.keys()
    assert model["gauges"]["max_rows"] == deployment.max_rows
    assert model["gauges"]["row_cost"] == deployment.cost.coefficients[1]
    assert model["gauges"]["ready"] == 0  # its batcher was not started
    assert missing == {
        "name": "broken",
        "version": "2",
        "totals": None,
        "gauges": {"ready": 0.0},
    }


def test_several_processes_speak_as_one(deployment: Deployment) -> None:
    deployment.statistics.failed(TooLate(needed_s=1.0, allowed_s=0.0))
    one: Values = report([deployment], ready=True)
    other: Values = report([deployment], ready=False)
    one["models"][0]["gauges"] |= {"queue_rows": 3, "predicted_wait_s": 0.1, "speed": 1.0}
    other["models"][0]["gauges"] |= {"queue_rows": 4, "predicted_wait_s": 0.3, "speed": 3.0}
    loading: Values = report([], ready=False, missing=[("m", "1"), ("n", "1")])

    values = together([one, other, loading])

    model, missing = values["models"]
    assert values["ready"] == 0
    assert model["totals"]["refused"] == {"too_late": 2}
    assert model["gauges"]["queue_rows"] == 7
    assert model["gauges"]["predicted_wait_s"] == 0.3
    assert model["gauges"]["speed"] == 2.0
    assert model["gauges"]["ready"] == 0
    assert (missing["name"], missing["totals"]) == ("n", None)
    assert b'jitney_queue_rows{model="m",version="1"} 7.0' in rendered(values)


async def test_what_is_predicted_counts_all_who_would_go_before_a_request_that_comes_now() -> None:
    """Not only what runs: the metric is what replicas are added by."""
    async with held() as (model, engine):
        deployment = engine.deployment("held", None)
        deployment.cost.coefficients = (0.0, 0.1, 0.0, 0.0)
        alone_s = gauges(deployment)["predicted_wait_s"]
        assert alone_s == pytest.approx(0.1)
        calls = [
            asyncio.ensure_future(
                deployment.infer(
                    {"x": np.zeros((1, 1), np.float32)},
                    arrived=time.monotonic(),
                    timeout_s=None,
                    priority=priority,
                )
            )
            for priority in [5] * 21 + [10] * 20
        ]
        await until(lambda: deployment.statistics.riding == 1 and deployment.waiting_rows == 40)
        now = gauges(deployment)

        assert now["queue_rows"] == 40
        # 20 of its own priority that came before it, one that runs, and itself.
        assert 2.1 <= now["predicted_wait_s"] <= 2.2 * 1.1
        assert not deployment.statistics.totals.refused  # nobody was asked for anything
        model.let_go()
        await asyncio.gather(*calls)

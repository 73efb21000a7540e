"""A replica as Ray Serve leads it, without Ray."""

import pytest

from models import BadModel, divide_cores, usable_cores
from serving.ray.options import Options
from serving.ray.replica import NotReady, Replica, share_cores
from serving.ray.scaling import BUSY, WAIT
from tests.support import onnx_models


@pytest.fixture(autouse=True)
def _cores_as_before():
    yield
    divide_cores(1)


def made(**args) -> Replica:
    return Replica(Options.of({"profile_budget_s": 0.1, **args}))


async def test_it_is_well_when_every_model_answers_and_says_how_it_fares(tmp_path):
    onnx_models.doubler(tmp_path / "doubler.onnx")
    replica = made(models=str(tmp_path / "doubler.onnx"))
    replica._engine.start()  # the application's lifespan does

    await replica.check_health()

    said = await replica.record_autoscaling_stats()
    assert said.keys() == {WAIT, BUSY}
    assert 0 < said[WAIT] < 0.1
    await replica._engine.stop()
    with pytest.raises(NotReady, match="the server is stopping"):
        await replica.check_health()


async def test_a_model_that_cannot_be_loaded_is_told_to_who_deploys(tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    replica = made(models=str(tmp_path / "broken.onnx"))
    replica._engine.start()

    with pytest.raises(BadModel, match="cannot be loaded by onnxruntime"):
        await replica.check_health()
    await replica._engine.stop()


async def test_where_there_are_no_models_it_does_not_start(tmp_path):
    with pytest.raises(BadModel, match="does not exist"):
        made(models=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 10])
@pytest.mark.parametrize("cpus", [1, 2, 4, 16])
def test_it_uses_no_more_cores_than_it_has_reserved(monkeypatch, cores, cpus):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr("models.machine.cpu_quota", lambda *_: float("inf"))

    share_cores(cpus)

    assert max(1, min(cores, cpus) // 2) <= usable_cores() <= cpus

"""ModelConfig as the protocol spells it, over HTTP and over gRPC."""

import pytest
from onnx import TensorProto

from serving.grpc.generated import inference_pb2 as pb
from serving.management import Management
from tests.support import onnx_models
from tests.support.asgi import loaded


async def test_a_batched_model_has_dims_without_the_batch_axis(tmp_path):
    path = onnx_models.doubler(tmp_path / "twice.onnx")
    async with loaded(path, slo_ms=250, max_queue_rows=77) as engine:
        config = Management(engine).config("twice", None)

        assert config["max_batch_size"] == engine.deployments["twice"].max_rows > 0
    assert config["input"][0]["dims"] == config["output"][0]["dims"] == [4]
    policy = config["dynamic_batching"]["default_queue_policy"]
    assert policy["default_timeout_microseconds"] == 250_000
    assert policy["max_queue_size"] == 77


async def test_one_that_is_not_batched_has_all_of_them(tmp_path):
    path = onnx_models.identity(tmp_path / "fixed.onnx", TensorProto.STRING, [2, None])
    async with loaded(path) as engine:
        config = Management(engine).config("fixed", "1")

    assert config["max_batch_size"] == 0
    assert "dynamic_batching" not in config
    assert config["input"][0]["dims"] == [2, -1]
    assert config["input"][0]["data_type"] == "TYPE_STRING"


@pytest.mark.parametrize(
    ("toml", "policy"),
    [
        ("", {"latest": {"num_versions": 1}}),
        ("versions = 'all'", {"all": {}}),
        ("versions = {latest = 2}", {"latest": {"num_versions": 2}}),
        ("versions = [1, 2]", {"specific": {"versions": [1, 2]}}),
    ],
)
async def test_the_version_policy_is_the_models(tmp_path, toml, policy):
    for version in "12":
        onnx_models.doubler(tmp_path / "m" / version / "model.onnx")
    (tmp_path / "m" / "model.toml").write_text(toml)
    async with loaded(tmp_path, profile_budget_s=0.1) as engine:
        config = Management(engine).config("m", None)

    assert config["version_policy"] == policy


async def test_grpcs_message_takes_all_of_it():
    """What is said over HTTP is said over gRPC."""
    async with loaded() as engine:
        config = Management(engine).config("iris", None)
    message = pb.ModelConfig(**config)

    # What is set is a field; what is false, zero or empty is one too, and not written.
    filled = {name for name, value in config.items() if value not in ([], {}, "", 0, False)}
    assert {field.name for field, _ in message.ListFields()} == filled
    assert message.input[0].data_type == pb.TYPE_FP32
    assert message.input[0].dims == [2]

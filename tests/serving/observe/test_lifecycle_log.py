"""What becomes of a model, in words."""

import json
import logging
from pathlib import Path

import pytest

from batching import Cores
from models import Model, ModelConfig, ModelSource, load
from serving.cli.inspect import as_text
from serving.deployment import Deployment
from serving.observe.lifecycle_log import (
    decided,
    log_failed,
    log_loading,
    log_ready,
    log_unloaded,
)
from serving.observe.logs import JsonLines
from serving.settings import Settings
from tests.support.onnx_models import doubler


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return load(
        ModelSource("m", "3", doubler(tmp_path / "m.onnx", width=1), ModelConfig()), cores=1
    )


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "serving.models")
    return caplog


def test_what_was_decided_is_said_as_inspect_says_it(model: Model) -> None:
    says = decided(model)

    assert len(says) == 3
    assert all(f"\n  {sentence}" in as_text(model) for sentence in says)


def test_a_model_that_answers_says_why_it_is_run_as_it_is(
    model: Model, told: pytest.LogCaptureFixture
) -> None:
    log_ready(Deployment(model, Settings(), Cores(1)))

    event = json.loads(JsonLines().format(told.records[0]))
    assert event["message"] == f"m (version 3): ready; {'; '.join(decided(model))}"
    assert (event["event"], event["model"], event["version"]) == ("ready", "m", "3")
    assert event["batches"] is True
    assert event["max_rows"] >= event["cheapest_rows"]["0"] >= 1
    assert event["threads"] == event["slots"] == 1
    assert event["because"] == decided(model)


def test_coming_failing_and_going_are_told(model: Model, told: pytest.LogCaptureFixture) -> None:
    log_loading(model.source)
    log_failed(model.source, "the file is gone")
    log_unloaded("m", "3")

    assert [one.getMessage() for one in told.records] == [
        "m (version 3): loading",
        "m (version 3): cannot be loaded: the file is gone",
        "m (version 3): unloaded",
    ]
    assert [vars(one)["event"] for one in told.records] == ["loading", "failed", "unloaded"]

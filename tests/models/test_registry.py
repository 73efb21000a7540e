"""Models are loaded warm or refused with a reason, and the book says which answer."""

from pathlib import Path

import pytest

from models.config import ModelConfig
from models.errors import BadModel, ModelNotFound, ModelNotReady
from models.registry import Model, ModelState, Registry, load
from models.repository import ModelSource, find_models
from tests.support.onnx_models import doubler, gatherer


def source(path: Path, name: str = "m", version: str = "3", **config: object) -> ModelSource:
    return ModelSource(name, version, path, ModelConfig(**config))  # type: ignore[arg-type]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return load(source(doubler(tmp_path / "m.onnx")), cores=1)


def state(registry: Registry, name: str = "m") -> ModelState:
    return registry.entries[name].state


# --- load


@pytest.mark.parametrize("shipped", find_models([]), ids=lambda source: source.name)
def test_the_shipped_models_load_and_answer_their_example(shipped: ModelSource) -> None:
    model = load(shipped, cores=1)

    outputs = model.runtime.run(model.example(rows=3))

    assert all(len(output) == 3 for output in outputs.values())


def test_an_example_is_made_up_where_none_is_given(model: Model) -> None:
    assert model.example(rows=2)["x"].tolist() == [[1, 1, 1, 1]] * 2


def test_a_given_example_must_work(tmp_path: Path) -> None:
    path = gatherer(tmp_path / "m.onnx", rows=8)

    assert load(source(path, example={"index": [7]}), cores=1)
    with pytest.raises(BadModel, match=r"m\.onnx fails on its example: .*out of data bounds"):
        load(source(path, example={"index": [8]}), cores=1)


@pytest.mark.parametrize("values", [[1, 2, 3], ["a"], 1.5])
def test_a_given_example_must_fit(tmp_path: Path, values: object) -> None:
    path = gatherer(tmp_path / "m.onnx")

    with pytest.raises(BadModel, match="the example for 'index' does not fit"):
        load(source(path, example={"index": values}), cores=1)


def test_an_example_for_an_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = gatherer(tmp_path / "m.onnx")

    with pytest.raises(BadModel, match="the example names an unknown input 'indices'"):
        load(source(path, example={"indices": [1]}), cores=1)


def test_a_model_that_fails_on_a_made_up_example_can_still_be_served(tmp_path: Path) -> None:
    # A table of one row has no row 1, which is what a made-up index asks for.
    model = load(source(gatherer(tmp_path / "m.onnx", rows=1)), cores=1)

    assert model.runtime.signature.inputs[0].name == "index"


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")

    with pytest.raises(BadModel, match=r"m\.onnx cannot be loaded"):
        load(source(tmp_path / "m.onnx"), cores=1)


# --- the book


def test_a_model_is_loading_until_it_is_entered(model: Model) -> None:
    registry = Registry([model.source])

    assert state(registry) is ModelState.LOADING
    with pytest.raises(ModelNotReady, match="model 'm' is not ready: loading"):
        registry.get("m")

    registry.enter(model)

    assert state(registry) is ModelState.READY
    assert registry.get("m") is registry.get("m", "3") is model


def test_a_model_that_failed_says_why(model: Model) -> None:
    registry = Registry([model.source])

    registry.fail(model.source, "out of memory")

    assert state(registry) is ModelState.UNAVAILABLE
    with pytest.raises(ModelNotReady, match="model 'm' is not ready: out of memory"):
        registry.get("m")


def test_a_model_that_is_entered_after_it_failed_answers(model: Model) -> None:
    registry = Registry([model.source])
    registry.fail(model.source, "out of memory")

    registry.enter(model)

    assert registry.get("m") is model
    assert registry.entries["m"].reason == ""


def test_models_that_are_not_there_are_named(model: Model) -> None:
    registry = Registry([model.source])
    registry.enter(model)

    with pytest.raises(ModelNotFound, match=r"^model 'n' is not found$"):
        registry.get("n")
    with pytest.raises(ModelNotFound, match=r"^version '2' of model 'm' is not found$"):
        registry.get("m", "2")


def test_the_failure_of_one_leaves_the_others_alone(model: Model, tmp_path: Path) -> None:
    other = source(tmp_path / "other.onnx", name="other")
    registry = Registry([model.source, other])
    registry.enter(model)

    registry.fail(other, "it is no model")

    assert registry.get("m") is model


def test_closed_nothing_answers_and_closing_again_is_harmless(model: Model) -> None:
    registry = Registry([model.source])
    registry.enter(model)

    registry.close()
    registry.close()

    with pytest.raises(ModelNotReady):
        registry.get("m")

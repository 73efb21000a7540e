"""Models are loaded warm or refused with a reason, and the book says which answer."""

from dataclasses import replace
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
    (entry,) = registry.entries(name)
    return entry.state


def test_models_are_counted_by_name_as_long_as_they_answer_or_will(model: Model) -> None:
    others = [replace(model.source, name=name) for name in ("n", "o")]
    registry = Registry([model.source, replace(model.source, version="4"), *others])
    assert registry.served == 3

    registry.enter([model])
    registry.fail("n", "it is broken")
    registry.unload("o")

    assert registry.served == 1


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

    registry.enter([model])

    assert state(registry) is ModelState.READY
    assert registry.get("m") is registry.get("m", "3") is model


def test_a_model_that_failed_says_why(model: Model) -> None:
    registry = Registry([model.source])

    registry.fail("m", "out of memory")

    assert state(registry) is ModelState.UNAVAILABLE
    with pytest.raises(ModelNotReady, match="model 'm' is not ready: out of memory"):
        registry.get("m")


def test_a_model_that_is_entered_after_it_failed_answers(model: Model) -> None:
    registry = Registry([model.source])
    registry.fail("m", "out of memory")

    registry.enter([model])

    assert registry.get("m") is model
    assert registry.entries("m")[0].reason == ""


def test_models_that_are_not_there_are_named(model: Model) -> None:
    registry = Registry([model.source])
    registry.enter([model])

    with pytest.raises(ModelNotFound, match=r"^model 'n' is not found$"):
        registry.get("n")
    with pytest.raises(ModelNotFound, match=r"^version '2' of model 'm' is not found$"):
        registry.get("m", "2")


def test_the_failure_of_one_leaves_the_others_alone(model: Model, tmp_path: Path) -> None:
    other = source(tmp_path / "other.onnx", name="other")
    registry = Registry([model.source, other])
    registry.enter([model])

    registry.fail("other", "it is no model")

    assert registry.get("m") is model


def test_closed_nothing_answers_and_closing_again_is_harmless(model: Model) -> None:
    registry = Registry([model.source])
    registry.enter([model])

    registry.close()
    registry.close()

    with pytest.raises(ModelNotReady):
        registry.get("m")


# --- versions, and what happens to them


def versions_of(model: Model, *numbers: str) -> list[Model]:
    return [replace(model, source=replace(model.source, version=number)) for number in numbers]


def told(registry: Registry) -> list[tuple[str, str, str]]:
    return [(entry.source.version, entry.state.value, entry.reason) for entry in registry]


def test_the_highest_version_that_answers_is_the_one_that_is_meant(model: Model) -> None:
    registry = Registry([])
    nine, ten = versions_of(model, "9", "10")
    registry.enter([ten, nine])

    assert registry.get("m") is ten
    assert registry.get("m", "9") is nine
    assert registry.versions("m") == ["9", "10"]  # as numbers, not as words
    with pytest.raises(ModelNotFound):
        registry.versions("n")


def test_versions_that_are_entered_take_the_place_of_all_before(model: Model) -> None:
    registry = Registry([])
    registry.enter(versions_of(model, "1", "2"))

    registry.enter(versions_of(model, "2", "3"))

    assert registry.versions("m") == ["2", "3"]
    with pytest.raises(ModelNotFound):
        registry.get("m", "1")


def test_a_load_that_fails_leaves_the_old_version_and_says_why(model: Model) -> None:
    """Lesson 21."""
    registry = Registry([])
    (old,) = versions_of(model, "1")
    registry.enter([old])

    registry.expect(replace(model.source, version="2"))
    assert told(registry) == [("1", "READY", ""), ("2", "LOADING", "")]
    registry.fail("m", "no ONNX")

    assert told(registry) == [("1", "READY", "no ONNX"), ("2", "UNAVAILABLE", "no ONNX")]
    assert registry.get("m") is old
    assert registry.versions("m") == ["1"]


def test_a_model_that_is_let_go_is_known_and_does_not_answer(model: Model) -> None:
    registry = Registry([model.source])
    registry.enter([model])

    entries = registry.unload("m")

    assert told(registry) == [("3", "UNLOADING", "unloading")]
    with pytest.raises(ModelNotReady):
        registry.get("m")
    registry.unloaded(entries)
    assert told(registry) == [("3", "UNAVAILABLE", "unloaded")]
    assert registry.names() == ["m"]
    assert registry.unload("m")
    assert told(registry) == [("3", "UNAVAILABLE", "unloaded")]


def test_a_model_that_is_loaded_anew_while_it_goes_is_ready(model: Model) -> None:
    registry = Registry([])
    registry.enter([model])
    entries = registry.unload("m")

    registry.expect(model.source)
    registry.enter([model])
    registry.unloaded(entries)

    assert told(registry) == [("3", "READY", "")]


def test_only_what_it_was_started_with_is_awaited_and_only_once(model: Model) -> None:
    registry = Registry([model.source])
    registry.expect(replace(model.source, name="later"))

    assert [entry.source.name for entry in registry if entry.awaited] == ["m"]
    registry.unload("m")
    assert not any(entry.awaited for entry in registry)


def test_what_is_forgotten_is_not_known(model: Model) -> None:
    registry = Registry([model.source])

    registry.forget("m")
    registry.forget("m")

    assert "m" not in registry
    assert registry.names() == []
    with pytest.raises(ModelNotFound):
        registry.get("m")

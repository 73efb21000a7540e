"""The shipped models do what their cards say. Nothing is trained here: the files are tested."""

import importlib.util
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.onnx_runtime import OnnxRuntime
from models.repository import ZOO

Array = NDArray[Any]


@dataclass(frozen=True)
class Shipped:
    """One model of the zoo, and which of its outputs is the answer that can be right or wrong."""

    name: str
    answer: str
    enough: float
    """The held-out accuracy below which the model should not be shipped."""
    inputs: dict[str, str]
    outputs: dict[str, str]

    @property
    def folder(self) -> Path:
        return ZOO / self.name

    @property
    def file(self) -> Path:
        return self.folder / "1" / "model.onnx"

    @property
    def card(self) -> str:
        return (self.folder / "README.md").read_text()

    @property
    def settings(self) -> dict[str, Any]:
        return tomllib.loads((self.folder / "model.toml").read_text())

    @cached_property
    def runtime(self) -> OnnxRuntime:
        return OnnxRuntime(self.file, threads=1)

    @cached_property
    def held_out(self) -> tuple[dict[str, Array], Array]:
        """The inputs by name and the right answers, from the split that training made."""
        *inputs, answers = _module(self.folder / "train.py").held_out()
        return dict(zip(self.inputs, inputs, strict=True)), answers

    def run(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """The outputs, texts as `str` as they are in the data."""
        return {
            name: np.char.decode(values.astype("S")) if values.dtype.hasobject else values
            for name, values in self.runtime.run(inputs).items()
        }

    def stated(self, pattern: str) -> str:
        """What the card says at the one place that fits the pattern."""
        (found,) = re.findall(pattern, self.card)
        return str(found)


DIGITS = Shipped(
    "digits",
    answer="digit",
    enough=0.95,
    inputs={"image": "float32 [batch, 64]"},
    outputs={"probabilities": "float32 [batch, 10]", "digit": "int64 [batch]"},
)
IRIS = Shipped(
    "iris",
    answer="species",
    enough=0.9,
    inputs={"sepal_cm": "float32 [batch, 2]", "petal_cm": "float32 [batch, 2]"},
    outputs={"probabilities": "float32 [batch, 3]", "species": "bytes [batch]"},
)

each_model = pytest.mark.parametrize("model", [DIGITS, IRIS], ids=lambda model: model.name)


def _module(path: Path) -> ModuleType:
    """train.py is a script in a data folder, in no package."""
    spec = importlib.util.spec_from_file_location(f"zoo_{path.parent.name}_train", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows(inputs: dict[str, Array], rows: range) -> dict[str, Array]:
    """The given rows, from the start again after the last."""
    return {name: values.take(rows, axis=0, mode="wrap") for name, values in inputs.items()}


def _example(model: Shipped) -> dict[str, Array]:
    values = model.settings["example"]
    return {name: np.array([values[name]], np.float32) for name in values}


@each_model
def test_the_file_is_small_enough_to_ship(model: Shipped) -> None:
    assert model.file.stat().st_size < 100_000


@each_model
def test_inputs_and_outputs_are_as_promised_and_share_one_batch_axis(model: Shipped) -> None:
    signature = model.runtime.signature

    assert signature.batched
    assert list(map(str, signature.inputs)) == [f"{n}: {t}" for n, t in model.inputs.items()]
    assert list(map(str, signature.outputs)) == [f"{n}: {t}" for n, t in model.outputs.items()]


@each_model
def test_held_out_accuracy_is_good_and_is_what_the_card_states(model: Shipped) -> None:
    inputs, answers = model.held_out

    measured = np.mean(model.run(inputs)[model.answer] == answers)

    assert measured > model.enough
    stated = float(model.stated(r"Held-out accuracy: \*\*([0-9.]+)\*\*"))
    assert stated == pytest.approx(measured, abs=0.001)


def test_a_digit_that_is_off_by_a_pixel_is_read_as_often_as_the_card_states() -> None:
    inputs, answers = DIGITS.held_out
    framed = np.pad(inputs["image"].reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    moved = [framed[:, y : y + 8, x : x + 8] for y, x in ((0, 1), (2, 1), (1, 0), (1, 2))]

    digits = DIGITS.run({"image": np.concatenate(moved).reshape(-1, 64)})["digit"]

    stated = float(DIGITS.stated(r"what leaves the box lost: ([0-9.]+)\."))
    assert np.mean(digits == np.tile(answers, 4)) == pytest.approx(stated, abs=0.001)


@each_model
@pytest.mark.parametrize("size", [2, 64])
def test_a_row_gets_the_same_answer_alone_and_in_company(model: Shipped, size: int) -> None:
    inputs, _ = model.held_out

    together = model.run(_rows(inputs, range(size)))

    for row in range(size):
        alone = model.run(_rows(inputs, range(row, row + 1)))
        assert alone["probabilities"][0] == pytest.approx(together["probabilities"][row], abs=1e-5)
        assert alone[model.answer].tolist() == [together[model.answer][row]]


@each_model
@pytest.mark.parametrize("size", [1, 2, 64])
def test_each_row_gets_one_answer_and_probabilities_that_add_up(model: Shipped, size: int) -> None:
    inputs, _ = model.held_out

    outputs = model.run(_rows(inputs, range(size)))

    assert outputs[model.answer].shape == (size,)
    assert outputs["probabilities"].min() >= 0
    assert outputs["probabilities"].sum(axis=1) == pytest.approx(np.ones(size), abs=1e-5)


@each_model
def test_the_example_gets_the_answer_that_the_card_states(model: Shipped) -> None:
    (answer,) = model.run(_example(model))[model.answer].tolist()

    assert str(answer) == model.stated(r"the model answers `(\w+)`")


@each_model
def test_the_example_is_one_of_the_held_out_rows_with_that_answer(model: Shipped) -> None:
    inputs, answers = model.held_out
    example = _example(model)

    same = np.all([(inputs[name] == example[name]).all(axis=1) for name in inputs], axis=0)

    assert {str(answer) for answer in answers[same]} == {model.stated(r"model answers `(\w+)`")}


@each_model
def test_the_settings_describe_the_model_and_give_an_example_for_each_input(model: Shipped) -> None:
    assert set(model.settings) - {"form"} == {"description", "example"}
    assert list(model.settings["example"]) == list(model.inputs)

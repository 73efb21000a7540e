"""The tables within a model.toml. That their keys have effects: test_text, test_user_pipeline."""

from dataclasses import fields
from pathlib import Path

import pytest

from models.config import ModelConfig, TensorConfig, TextConfig, read_config
from models.errors import BadModel
from models.signature import DATATYPES, TensorSpec


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "model.toml"


def read(toml: Path, text: str) -> ModelConfig:
    toml.write_text(text, encoding="utf-8")
    return read_config(toml)


def refusal(toml: Path, text: str) -> str:
    with pytest.raises(BadModel) as refused:
        read(toml, text)
    return str(refused.value).removeprefix(f"{toml}: ")


# --- [text]


def test_every_key_of_text_is_read(toml: Path) -> None:
    config = read(
        toml,
        """
        [text]
        max_length = 8192
        pooling = "none"
        normalize = false
        output = "vectors"
        """,
    )

    assert config.text == TextConfig(
        max_length=8192, pooling="none", normalize=False, output="vectors"
    )
    keys = [setting.name for setting in fields(TextConfig)]
    assert all(getattr(config.text, key) != getattr(TextConfig(), key) for key in keys)


def test_an_empty_table_is_not_the_same_as_none(toml: Path) -> None:
    assert read(toml, "[text]").text == TextConfig()
    assert read(toml, "").text is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("text = 5", "text must be a table, got 5."),
        ("text.pool = 5", "text: unknown key 'pool'; did you mean 'pooling'?"),
        ("text.max_tokens = 5", "text: unknown key 'max_tokens'; did you mean 'max_length'?"),
        (
            "text.zzz = 5",
            "text: unknown key 'zzz'; known keys: max_length, pooling, normalize, output.",
        ),
        ("text.max_length = 0", "text: max_length must be from 1 to 8192, got 0."),
        ("text.max_length = 8193", "text: max_length must be from 1 to 8192, got 8193."),
        ("text.max_length = 1.5", "text: max_length must be a whole number, got 1.5."),
        ("text.max_length = true", "text: max_length must be a whole number, got True."),
        ("text.normalize = 1", "text: normalize must be true or false, got 1."),
        ("text.output = 1", "text: output must be a text, got 1."),
        ('text.pooling = "max"', "text: pooling must be one of 'mean', 'cls', 'none', got 'max'."),
        ("text.pooling = [1]", "text: pooling must be one of 'mean', 'cls', 'none', got [1]."),
    ],
)
def test_a_wrong_value_of_text_is_named(toml: Path, line: str, said: str) -> None:
    assert refusal(toml, line) == said


# --- [[inputs]] and [[outputs]]


def tensor(**changes: str) -> str:
    lines = {"name": '"a"', "datatype": '"FP32"', "shape": "[-1]", **changes}
    return "\n".join(["[[inputs]]", *(f"{key} = {value}" for key, value in lines.items() if value)])


def test_tensors_are_read_in_their_order(toml: Path) -> None:
    config = read(toml, "\n".join([tensor(name='"b"'), tensor(shape="[-1, 3, -1]")]))

    assert config.inputs == (
        TensorConfig(name="b", datatype="FP32", shape=(-1,)),
        TensorConfig(name="a", datatype="FP32", shape=(-1, 3, -1)),
    )
    assert config.outputs == ()


@pytest.mark.parametrize("datatype", DATATYPES)
def test_tensors_are_of_any_type_of_the_protocol(toml: Path, datatype: str) -> None:
    (given,) = read(toml, tensor(datatype=f'"{datatype}"', shape="[-1, -1, 2]")).inputs

    assert given.spec == TensorSpec("a", DATATYPES[datatype], ("batch", None, 2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inputs = 5", "inputs must be a list of tables, got 5."),
        ("[inputs]", "inputs must be a list of tables, got {}."),
        ("inputs = [5]", "inputs[0] must be a table, got 5."),
        (tensor(name=""), "inputs[0]: name is missing."),
        (tensor(datatype=""), "inputs[0]: datatype is missing."),
        (tensor(shape=""), "inputs[0]: shape is missing."),
        (tensor(name="5"), "inputs[0]: name must be a text, got 5."),
        (tensor(name='""'), "inputs[0]: name must not be empty."),
        (tensor(type='"FP32"'), "inputs[0]: unknown key 'type'; did you mean 'datatype'?"),
        (tensor(dims="[-1]"), "inputs[0]: unknown key 'dims'; known keys: name, datatype, shape."),
        (tensor(shape="-1"), "inputs[0]: shape must be a list of whole numbers, got -1."),
        (tensor(shape="[-1.0]"), "inputs[0]: shape must be a list of whole numbers, got [-1.0]."),
        (
            tensor(shape="[-1, true]"),
            "inputs[0]: shape must be a list of whole numbers, got [-1, True].",
        ),
        (tensor(shape="[]"), "inputs[0]: shape must begin with -1, the axis of rows, got []."),
        (tensor(shape="[3]"), "inputs[0]: shape must begin with -1, the axis of rows, got [3]."),
        (
            tensor(shape="[-1, 0]"),
            "inputs[0]: shape must hold sizes from 1, or -1 for any, got [-1, 0].",
        ),
        (
            tensor(shape="[-1, -2]"),
            "inputs[0]: shape must hold sizes from 1, or -1 for any, got [-1, -2].",
        ),
        (f"{tensor()}\n{tensor()}", "two of the inputs are named 'a'."),
        (f"{tensor()}\n{tensor(name='5')}", "inputs[1]: name must be a text, got 5."),
    ],
)
def test_a_wrong_tensor_is_named_by_its_place(toml: Path, text: str, said: str) -> None:
    assert refusal(toml, text) == said
    assert refusal(toml, text.replace("inputs", "outputs")) == said.replace("inputs", "outputs")


@pytest.mark.parametrize("datatype", ['"float32"', '"fp32"', '"BF16"', '["FP32"]', "32"])
def test_a_type_that_the_protocol_does_not_have_is_refused(toml: Path, datatype: str) -> None:
    said = refusal(toml, tensor(datatype=datatype))

    assert said.startswith("inputs[0]: datatype must be one of 'BOOL', 'UINT8', ")
    shown = datatype.replace('"', "'")
    assert said.endswith(f"'BYTES', got {shown}.")

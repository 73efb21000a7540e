"""Which pipeline a model has, by what lies beside it."""

from pathlib import Path

import pytest

from models.config import ModelConfig, TensorConfig, TextConfig
from models.errors import BadModel
from models.onnx_runtime import OnnxRuntime
from models.pipeline import TextPipeline, TextRuntime, UserPipeline, find_pipeline
from models.repository import ModelSource, find_models
from tests.support.text_models import encoder, tokenizer

CODE = "def after(outputs):\n    return outputs\n"
TENSOR = TensorConfig(name="x", datatype="FP32", shape=(-1,))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    encoder(tmp_path / "m" / "1" / "model.onnx")
    return tmp_path


def kinds(root: Path) -> tuple[type, type]:
    (source,) = find_models([root])
    runtime, pipeline = find_pipeline(source, OnnxRuntime(source.path, threads=1))
    return type(runtime), type(pipeline)


def test_a_model_by_itself_has_none(root: Path) -> None:
    assert kinds(root) == (OnnxRuntime, type(None))


def test_a_lone_file_has_none_whatever_lies_beside_it(root: Path) -> None:
    folder = root / "m" / "1"
    tokenizer(folder / "tokenizer.json")
    (folder / "pipeline.py").write_text(CODE)

    assert kinds(folder / "model.onnx") == (OnnxRuntime, type(None))


def test_a_tokenizer_makes_it_a_model_of_text(root: Path) -> None:
    tokenizer(root / "m" / "tokenizer.json")

    assert kinds(root) == (TextRuntime, TextPipeline)


def test_code_goes_before_a_tokenizer_which_it_may_use_itself(root: Path) -> None:
    tokenizer(root / "m" / "1" / "tokenizer.json")
    (root / "m" / "pipeline.py").write_text(CODE)

    assert kinds(root) == (OnnxRuntime, UserPipeline)


@pytest.mark.parametrize("folder", ["m", "m/1"])
def test_code_that_leads_out_of_the_repository_is_refused(root: Path, folder: str) -> None:
    (root.parent / "outside.py").write_text(CODE)
    (root / folder / "pipeline.py").symlink_to(root.parent / "outside.py")

    with pytest.raises(BadModel, match=r"pipeline.py leads out of"):
        find_models([root])


# --- settings that would have no effect


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (ModelConfig(inputs=(TENSOR,)), r"model.toml has \[\[inputs\]\], but there is no pipeline"),
        (ModelConfig(outputs=(TENSOR,)), r"has \[\[outputs\]\], but there is no pipeline.py"),
        (ModelConfig(text=TextConfig()), r"has \[text\], but there is no tokenizer.json\.$"),
    ],
)
def test_settings_for_what_is_not_there_are_refused(
    root: Path, config: ModelConfig, said: str
) -> None:
    path = root / "m" / "1" / "model.onnx"
    source = ModelSource("m", "1", path, config, root / "m")

    with pytest.raises(BadModel, match=said):
        find_pipeline(source, OnnxRuntime(path, threads=1))


def test_settings_for_text_beside_code_are_refused(root: Path) -> None:
    tokenizer(root / "m" / "tokenizer.json")
    (root / "m" / "pipeline.py").write_text(CODE)
    (root / "m" / "model.toml").write_text("[text]")

    with pytest.raises(BadModel, match=r"\[text\], but there is a pipeline.py, which does it all"):
        kinds(root)

"""What a model.toml may say, and that every key of it has an effect."""

from dataclasses import fields
from pathlib import Path

import pytest

from models.config import ModelConfig, read_config
from models.errors import BadModel
from models.registry import Model, load
from models.repository import ModelSource
from tests.support.onnx_models import doubler
from tests.support.threads import COUNTABLE, thread_count, thread_count_becomes

KEYS = [setting.name for setting in fields(ModelConfig)]


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "model.toml"


def read(toml: Path, text: str) -> ModelConfig:
    toml.write_text(text, encoding="utf-8")
    return read_config(toml)


def refusal(toml: Path, text: str) -> str:
    with pytest.raises(BadModel) as refused:
        read(toml, text)
    said = str(refused.value)
    assert said.startswith(str(toml))
    return said.removeprefix(str(toml)).lstrip(": ")


# --- what is read


def test_without_a_file_everything_is_left_to_measurement(toml: Path) -> None:
    assert read_config(toml) == ModelConfig()
    assert read(toml, "") == ModelConfig()


def test_every_key_is_read(toml: Path) -> None:
    config = read(
        toml,
        """
        description = "Größe"
        form = "draw"
        versions = "all"
        slo_ms = 12.5
        batching = false
        max_batch_rows = 8
        max_queue_rows = 100
        threads = 2
        [example]
        x = [1, 2]
        [text]
        max_length = 8
        [[inputs]]
        name = "x"
        datatype = "FP32"
        shape = [-1, 2]
        [[outputs]]
        name = "y"
        datatype = "FP32"
        shape = [-1, 2]
        """,
    )

    assert (config.description, config.slo_ms, config.batching) == ("Größe", 12.5, False)
    assert (config.max_batch_rows, config.max_queue_rows, config.threads) == (8, 100, 2)
    assert config.example == {"x": [1, 2]}
    assert config.versions == "all"
    assert [key for key in KEYS if getattr(config, key) == getattr(ModelConfig(), key)] == []


@pytest.mark.parametrize(
    "line",
    ["slo_ms = 1", "slo_ms = 0.001", "max_batch_rows = 1", "max_queue_rows = 1", "threads = 1"],
)
def test_the_smallest_sensible_values_are_accepted(toml: Path, line: str) -> None:
    assert read(toml, line) != ModelConfig()


# --- versions


@pytest.mark.parametrize(
    ("line", "chosen"),
    [
        ("", [10]),
        ('versions = "latest"', [10]),
        ('versions = "all"', [1, 2, 10]),
        ("versions = [10, 1]", [1, 10]),
        ("versions = {latest = 2}", [2, 10]),
        ("versions = {latest = 99}", [1, 2, 10]),
    ],
)
def test_the_settings_choose_among_the_versions_that_are_there(
    toml: Path, line: str, chosen: list[int]
) -> None:
    assert read(toml, line).chosen([10, 1, 2]) == chosen


def test_a_version_that_is_not_there_cannot_be_chosen(toml: Path) -> None:
    with pytest.raises(ValueError, match=r"^versions asks for 3, 4, but the folder holds 1, 2$"):
        read(toml, "versions = [1, 3, 4]").chosen([1, 2])


@pytest.mark.parametrize(
    "value",
    [
        '"newest"',
        "1",
        "true",
        "[]",
        "[true]",
        '["1"]',
        "[1.0]",
        "[-1]",
        "{}",
        "{latest = 0}",
        "{latest = true}",
        '{latest = "2"}',
        "{newest = 2}",
        "{latest = 2, all = true}",
    ],
)
def test_versions_that_make_no_sense_are_refused(toml: Path, value: str) -> None:
    said = refusal(toml, f"versions = {value}")

    assert said.startswith("versions must be 'latest', 'all', a list of whole numbers such as")


def test_a_version_that_is_named_twice_is_refused(toml: Path) -> None:
    assert refusal(toml, "versions = [1, 1]") == "versions names a version twice, got [1, 1]."


# --- abuse


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("description = 5", "description must be a text, got 5."),
        ("batching = 1", "batching must be true or false, got 1."),
        ('batching = "no"', "batching must be true or false, got 'no'."),
        ("example = [1]", "example must be a table, got [1]."),
        ("slo_ms = true", "slo_ms must be a whole number or a number, got True."),
        ('slo_ms = "10"', "slo_ms must be a whole number or a number, got '10'."),
        ("slo_ms = 0", "slo_ms must be above 0 and finite, got 0."),
        ("slo_ms = -0.5", "slo_ms must be above 0 and finite, got -0.5."),
        ("slo_ms = nan", "slo_ms must be above 0 and finite, got nan."),
        ("slo_ms = inf", "slo_ms must be above 0 and finite, got inf."),
    ],
)
def test_a_wrong_value_says_which_what_it_must_be_and_what_it_is(
    toml: Path, line: str, said: str
) -> None:
    assert refusal(toml, line) == said


@pytest.mark.parametrize("key", ["max_batch_rows", "max_queue_rows", "threads"])
def test_counts_are_whole_numbers_from_1(toml: Path, key: str) -> None:
    assert refusal(toml, f"{key} = 0") == f"{key} must be at least 1, got 0."
    assert refusal(toml, f"{key} = -3") == f"{key} must be at least 1, got -3."
    for value in ("1.0", "true", '"4"', "nan", "[1]"):
        assert refusal(toml, f"{key} = {value}").startswith(f"{key} must be a whole number, got ")


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("max_batch_row = 8", "max_batch_rows"),
        ("max_batch_size = 8", "max_batch_rows"),
        ("thread = 8", "threads"),
        ("slo = 8", "slo_ms"),
        ("Description = ''", "description"),
        ("[examples]", "example"),
    ],
)
def test_a_misspelt_key_is_an_error_that_says_what_was_meant(
    toml: Path, line: str, meant: str
) -> None:
    assert refusal(toml, line).endswith(f"did you mean {meant!r}?")


def test_a_key_like_no_other_is_an_error_that_lists_them_all(toml: Path) -> None:
    assert refusal(toml, "zzz = 1") == f"unknown key 'zzz'; known keys: {', '.join(KEYS)}."


@pytest.mark.parametrize("text", ["slo_ms = ", "slo_ms: 5", "threads = 1\nthreads = 2", "\0"])
def test_what_is_not_toml_is_refused_and_says_where(toml: Path, text: str) -> None:
    said = refusal(toml, text)

    assert said.startswith("is not valid TOML: ")
    assert "line 1" in said or "line 2" in said or "end of document" in said


def test_what_is_not_utf_8_is_refused(toml: Path) -> None:
    toml.write_bytes(b'description = "Gr\xf6\xdfe"')

    with pytest.raises(BadModel, match=r"model.toml cannot be read: 'utf-8' codec"):
        read_config(toml)


def test_what_cannot_be_read_is_refused(toml: Path) -> None:
    toml.mkdir()

    with pytest.raises(BadModel, match=r"model.toml cannot be read: .*directory"):
        read_config(toml)


# --- every key has an effect on the loaded model; on its deployment, see test_deployment


def loaded(path: Path, config: ModelConfig, cores: int = 1) -> Model:
    return load(ModelSource("m", "1", path, config), cores=cores)


def test_the_example_is_what_the_model_is_tried_with(tmp_path: Path) -> None:
    path = doubler(tmp_path / "m.onnx", width=2)

    model = loaded(path, ModelConfig(example={"x": [3, 4]}))

    assert model.example(rows=2)["x"].tolist() == [[3, 4], [3, 4]]


@pytest.mark.parametrize(
    ("asked", "cores", "used"), [(None, 3, 3), (2, 3, 2), (1, 3, 1), (8, 2, 2)]
)
@pytest.mark.skipif(not COUNTABLE, reason="this system does not list threads")
def test_a_run_has_as_many_threads_as_asked_for_but_no_more_than_cores(
    tmp_path: Path, asked: int | None, cores: int, used: int
) -> None:
    path = doubler(tmp_path / "m.onnx")
    before = thread_count()

    model = loaded(path, ModelConfig(threads=asked), cores)

    # The caller's own thread is the first of them.
    assert thread_count_becomes(before + used - 1)
    model.runtime.close()

"""A second start knows what the first has found, and nothing worse than measuring can happen."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from models.config import ModelConfig, TextConfig
from models.errors import BadModel
from models.profile import Profile
from models.profile_cache import MAX_FILES, ProfileCache, default_folder, profile_key
from models.proof import Proof
from models.registry import Model, load
from models.repository import ModelSource, find_models
from tests.support.onnx_models import doubler, gatherer

PROFILE = Profile(
    ((1, 8, 0.001), (8, 8, 0.004), (1, 32, 0.002)), 2, 1, Proof(True, "the same", 1e-7), 8
)
KEY = {"model": "a", "cores": 2, "threads": None}


@pytest.fixture
def cache(tmp_path: Path) -> ProfileCache:
    return ProfileCache(tmp_path / "not" / "there" / "yet")


def only_file(cache: ProfileCache) -> Path:
    assert cache.folder
    (file,) = cache.folder.iterdir()
    return file


# --- files


def test_what_is_written_is_read(cache: ProfileCache) -> None:
    assert cache.read(KEY) is None

    cache.write(KEY, PROFILE)

    assert cache.read(KEY) == PROFILE
    assert cache.read({**KEY, "cores": 3}) is None


def test_a_difference_without_bound_is_kept_too(cache: ProfileCache) -> None:
    profile = replace(PROFILE, proof=Proof(False, "no longer a number", float("inf")))

    cache.write(KEY, profile)

    assert cache.read(KEY) == profile


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"key": {}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_ignored_and_made_anew(cache: ProfileCache, content: bytes) -> None:
    cache.write(KEY, PROFILE)
    only_file(cache).write_bytes(content)

    assert cache.read(KEY) is None

    cache.write(KEY, PROFILE)
    assert cache.read(KEY) == PROFILE


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": []},
        {"samples": [[1, 0]]},
        {"samples": [[1, 0, 0.0]]},
        {"samples": [[0, 0, 0.1]]},
        {"samples": [[1, -1, 0.1]]},
        {"samples": [[1, 0, "0.1"]]},
        {"samples": [[1, 0, float("nan")]]},
        {"threads": 0},
        {"threads": True},
        {"slots": 1.5},
        {"max_rows": None},
        {"proof": {"batches": 1, "says": "", "difference": 0.0}},
        {"proof": {"batches": True, "says": None, "difference": 0.0}},
        {"proof": {"batches": True, "says": ""}},
        {"proof": []},
    ],
    ids=str,
)
def test_a_file_with_impossible_values_is_ignored(
    cache: ProfileCache, wrong: dict[str, object]
) -> None:
    cache.write(KEY, PROFILE)
    file = only_file(cache)
    values = json.loads(file.read_text())
    values["profile"] |= wrong
    file.write_text(json.dumps(values))

    assert cache.read(KEY) is None


def test_a_file_of_something_else_is_ignored(cache: ProfileCache) -> None:
    cache.write(KEY, PROFILE)
    file = only_file(cache)
    file.write_text(file.read_text().replace('"model": "a"', '"model": "b"'))

    assert cache.read(KEY) is None


def test_where_nothing_can_be_written_there_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    for folder in (tmp_path / "file", tmp_path / "file" / "below", None):
        cache = ProfileCache(folder)
        cache.write(KEY, PROFILE)
        assert cache.read(KEY) is None


def test_nothing_half_written_is_left_behind(cache: ProfileCache) -> None:
    for _ in range(3):
        cache.write(KEY, PROFILE)

    assert only_file(cache).suffix == ".json"


def test_the_least_used_files_are_dropped(cache: ProfileCache) -> None:
    assert cache.folder
    cache.write(KEY, PROFILE)
    for number in range(MAX_FILES):
        file = cache.folder / f"{number}.{'tmp' if number % 2 else 'json'}"
        file.write_text("{}")
        os.utime(file, (number + 10, number + 10))
    (cache.folder / "notes.txt").write_text("of somebody else")
    os.utime(only(cache, KEY), (5, 5))

    assert cache.read(KEY) == PROFILE  # and so it is not the oldest any more
    cache.write({**KEY, "model": "b"}, PROFILE)

    names = {file.name for file in cache.folder.iterdir()}
    assert len(names) == MAX_FILES + 1
    assert "notes.txt" in names
    assert not names & {"0.json", "1.tmp"}
    assert cache.read(KEY) == PROFILE


def only(cache: ProfileCache, key: dict[str, object]) -> Path:
    """The file of a key."""
    path = cache._path(key)
    assert path
    return path


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("/var/caches", "/var/caches/jitney"), ("", "/home/me/.cache/jitney")],
)
def test_it_is_where_the_user_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, variable: str, folder: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", variable)

    assert default_folder() == Path(folder)


# --- what a profile depends on


def test_every_file_and_setting_that_matters_makes_another_key(tmp_path: Path) -> None:
    path = doubler(tmp_path / "m" / "1" / "model.onnx")
    source = ModelSource("m", "1", path, ModelConfig(), tmp_path / "m")

    def key(cores: int = 2, budget_s: float = 2, crowded: bool = False, **config: object) -> str:
        changed = replace(source, config=ModelConfig(**config))  # type: ignore[arg-type]
        return json.dumps(
            profile_key(changed, cores=cores, budget_s=budget_s, crowded=crowded), sort_keys=True
        )

    keys = [
        key(),
        key(cores=4),
        key(budget_s=3),
        key(crowded=True),
        key(threads=1),
        key(batching=False),
        key(max_batch_rows=4),
        key(example={"x": [1, 2, 3, 4]}),
        key(text=TextConfig(max_length=64)),
    ]
    (tmp_path / "m" / "tokenizer.json").write_text("{}")
    keys.append(key())
    (tmp_path / "m" / "pipeline.py").write_text("")
    keys.append(key())
    doubler(path, width=5)
    keys.append(key())

    assert len(set(keys)) == len(keys)
    assert key(slo_ms=5, description="Another") == keys[-1]  # what does not matter


# --- starts


def start(source: ModelSource, **arguments: object) -> tuple[Model, list[str]]:
    told: list[str] = []
    model = load(source, cores=1, progress=told.append, **arguments)  # type: ignore[arg-type]
    return model, told


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSource:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return find_models([doubler(tmp_path / "m.onnx")])[0]


def test_the_second_start_measures_nothing(source: ModelSource) -> None:
    first, told = start(source)
    assert "m: measuring 1 row" in told

    second, told = start(source)

    assert told == ["m: loading", "m: measured at an earlier start"]
    assert second.profile == first.profile


def test_a_fresh_start_measures_again(source: ModelSource) -> None:
    start(source)

    _, told = start(source, fresh=True)

    assert "m: measuring 1 row" in told


def test_another_budget_is_another_profile(source: ModelSource) -> None:
    start(source)

    _, told = start(source, budget_s=0.0)

    assert "m: measuring 1 row" in told


def test_a_model_whose_made_up_example_fails_starts_from_the_cache_too(
    source: ModelSource, tmp_path: Path
) -> None:
    (one,) = find_models([gatherer(tmp_path / "g.onnx", rows=1)])
    start(one)

    _, told = start(one)

    assert told[-1] == "g: measured at an earlier start"


def test_a_model_that_cannot_be_used_leaves_nothing_in_the_cache(
    source: ModelSource, tmp_path: Path
) -> None:
    with pytest.raises(BadModel):
        start(replace(source, config=ModelConfig(example={"x": ["a"]})))

    assert not (tmp_path / "cache").exists()

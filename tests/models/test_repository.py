"""Which models are found where, and what is refused."""

import os
from pathlib import Path

import pytest

from models.config import ModelConfig
from models.errors import BadModel, ModelNotFound
from models.repository import ModelSource, find_model, find_models, places


def put(path: Path, text: str = "not read here") -> Path:
    """A file at the path; what is in it does not matter, as nothing is run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def one(*paths: Path) -> ModelSource:
    (source,) = find_models(paths)
    return source


def names(*paths: Path) -> list[str]:
    return [source.name for source in find_models(paths)]


def refusal(*paths: Path) -> str:
    with pytest.raises(BadModel) as refused:
        find_models(paths)
    return str(refused.value)


def test_a_file_is_a_model_named_like_it(tmp_path: Path) -> None:
    file = put(tmp_path / "mnist-12.onnx")

    source = one(file)

    assert (source.name, source.version, source.path) == ("mnist-12", "1", file)
    assert source.config == ModelConfig()


def test_a_repository_holds_many_models_in_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c.v2"):
        put(tmp_path / name / "1" / "model.onnx")

    assert names(tmp_path) == ["a", "b", "c.v2"]


def test_a_models_own_folder_can_be_given(tmp_path: Path) -> None:
    file = put(tmp_path / "resnet" / "3" / "model.onnx")
    put(tmp_path / "resnet" / "model.toml", "slo_ms = 5")

    source = one(tmp_path / "resnet")

    assert (source.name, source.version, source.path) == ("resnet", "3", file)
    assert source.config == ModelConfig(slo_ms=5)


def test_a_folder_has_its_name_even_if_it_is_given_as_a_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "resnet" / "1" / "model.onnx")
    monkeypatch.chdir(tmp_path / "resnet")

    assert one(Path()).name == "resnet"
    assert one(Path("../resnet/.")).name == "resnet"


def test_the_newest_version_is_the_largest_number(tmp_path: Path) -> None:
    for version in ("9", "10", "1"):
        put(tmp_path / "m" / version / "model.onnx")

    source = one(tmp_path)

    assert source.version == "10"
    assert source.path == tmp_path / "m" / "10" / "model.onnx"


def test_what_is_not_a_version_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "m" / "1" / "model.onnx")
    for folder in ("latest", "2-rc", "-3", "4.0", "\N{ARABIC-INDIC DIGIT FIVE}", "6 ", "1" * 19):
        put(tmp_path / "m" / folder / "model.onnx")
    put(tmp_path / "m" / "7" / "weights.bin")
    put(tmp_path / "m" / "8")

    assert one(tmp_path).version == "1"


def test_two_spellings_of_one_version_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "m" / "1" / "model.onnx")
    put(tmp_path / "m" / "01" / "model.onnx")

    assert "are the same version; remove one." in refusal(tmp_path)


def test_what_is_not_a_model_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "m" / "1" / "model.onnx")
    put(tmp_path / "README.md")
    put(tmp_path / "docs" / "index.html")
    (tmp_path / "empty").mkdir()
    put(tmp_path / ".git" / "1" / "model.onnx")

    assert names(tmp_path) == ["m"]


def test_settings_are_those_of_the_model_whatever_its_version(tmp_path: Path) -> None:
    put(tmp_path / "m" / "1" / "model.onnx")
    put(tmp_path / "m" / "2" / "model.onnx")
    put(tmp_path / "m" / "model.toml", "threads = 3")

    assert one(tmp_path).config == ModelConfig(threads=3)


def test_several_paths_of_several_kinds_are_one_list(tmp_path: Path) -> None:
    file = put(tmp_path / "b.onnx")
    put(tmp_path / "many" / "c" / "1" / "model.onnx")
    put(tmp_path / "a" / "1" / "model.onnx")

    assert names(file, tmp_path / "many", tmp_path / "a") == ["a", "b", "c"]


def test_no_path_means_the_shipped_models() -> None:
    found = find_models([])

    assert [source.name for source in found] == ["digits", "iris"]
    assert all(source.path.is_file() and source.config.description for source in found)


# --- versions


@pytest.mark.parametrize(
    ("line", "served"),
    [
        ("", ["10"]),
        ('versions = "latest"', ["10"]),
        ('versions = "all"', ["2", "9", "10"]),
        ("versions = [9, 2]", ["2", "9"]),
        ("versions = {latest = 2}", ["9", "10"]),
    ],
)
def test_the_settings_say_which_versions_are_served(
    tmp_path: Path, line: str, served: list[str]
) -> None:
    """Lesson 24: a key that is read and has no effect would be worse than none."""
    for version in ("9", "10", "2"):
        put(tmp_path / "m" / version / "model.onnx")
    put(tmp_path / "m" / "model.toml", line)

    found = find_models([tmp_path])

    assert [source.version for source in found] == served
    assert [source.path.parent.name for source in found] == served
    assert find_model([tmp_path], "m") == found


def test_a_version_that_is_asked_for_and_not_there_is_named(tmp_path: Path) -> None:
    put(tmp_path / "m" / "1" / "model.onnx")
    put(tmp_path / "m" / "model.toml", "versions = [1, 3]")

    said = refusal(tmp_path)

    assert said == (f"{tmp_path}/m/model.toml: versions asks for 3, but the folder holds 1.")


# --- one model


def test_a_model_is_found_by_its_name_wherever_it_is(tmp_path: Path) -> None:
    lone = put(tmp_path / "lone.onnx")
    put(tmp_path / "many" / "a" / "1" / "model.onnx")
    put(tmp_path / "own" / "7" / "model.onnx")
    paths = [lone, tmp_path / "many", tmp_path / "own"]

    for name, version in (("lone", "1"), ("a", "1"), ("own", "7")):
        (source,) = find_model(paths, name)
        assert (source.name, source.version) == (name, version)
        assert [source] == [other for other in find_models(paths) if other.name == name]


def test_what_is_wrong_with_one_model_does_not_matter_to_another(tmp_path: Path) -> None:
    put(tmp_path / "good" / "1" / "model.onnx")
    put(tmp_path / "bad" / "1" / "model.onnx")
    put(tmp_path / "bad" / "model.toml", "no toml")

    assert find_model([tmp_path], "good")
    with pytest.raises(BadModel):
        find_model([tmp_path], "bad")
    assert places([tmp_path]) == {"good": tmp_path / "good", "bad": tmp_path / "bad"}


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "../m", "m/1", "/etc", "m\0", "%2e%2e", "n", "a" * 200, ".git"]
)
def test_a_name_that_is_none_finds_nothing_and_leads_nowhere(tmp_path: Path, name: str) -> None:
    """Lesson 28."""
    put(tmp_path / "m" / "1" / "model.onnx")
    put(tmp_path / ".git" / "1" / "model.onnx")
    put(tmp_path / "root" / "x" / "1" / "model.onnx")

    with pytest.raises(ModelNotFound):
        find_model([tmp_path / "root", tmp_path], name)


def test_two_models_of_the_name_that_is_looked_for_are_refused(tmp_path: Path) -> None:
    file = put(tmp_path / "m.onnx")
    put(tmp_path / "repository" / "m" / "1" / "model.onnx")

    with pytest.raises(BadModel, match="two models are named 'm'"):
        find_model([file, tmp_path / "repository"], "m")


def test_places_are_where_models_lie(tmp_path: Path) -> None:
    lone = put(tmp_path / "lone.onnx")
    put(tmp_path / "many" / "a" / "1" / "model.onnx")
    put(tmp_path / "many" / "docs" / "x")
    put(tmp_path / "many" / ".git" / "1" / "model.onnx")
    put(tmp_path / "own" / "7" / "model.onnx")

    assert places([lone, tmp_path / "many", tmp_path / "own"]) == {
        "lone": lone,
        "a": tmp_path / "many" / "a",
        "own": tmp_path / "own",
    }
    with pytest.raises(OSError, match="none"):
        places([tmp_path / "none"])


# --- links


def test_links_within_the_repository_are_followed(tmp_path: Path) -> None:
    # As Kubernetes mounts a volume: what is seen are links into a hidden folder.
    put(tmp_path / "..2026" / "m" / "1" / "model.onnx")
    put(tmp_path / "..2026" / "m" / "model.toml", "threads = 3")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "m").symlink_to("..data/m")

    source = one(tmp_path)

    assert (source.name, source.config.threads) == ("m", 3)


def test_a_link_has_the_name_that_it_is_seen_by(tmp_path: Path) -> None:
    put(tmp_path / "old" / "1" / "model.onnx")
    (tmp_path / "alias").symlink_to("old")

    assert names(tmp_path) == ["alias", "old"]
    assert names(tmp_path / "alias") == ["alias"]


@pytest.mark.parametrize("link", ["m", "m/1", "m/1/model.onnx"])
def test_a_link_out_of_the_repository_is_refused(tmp_path: Path, link: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    put(outside / "m" / "1" / "model.onnx")
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside / link)

    assert f"leads out of {root}; copy the file" in refusal(root)


def test_settings_out_of_the_repository_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root / "m" / "1" / "model.onnx")
    (root / "m" / "model.toml").symlink_to(put(tmp_path / "secret.toml", "threads = 1"))

    assert "model.toml leads out of" in refusal(root)
    assert "model.toml leads out of" in refusal(root / "m")


def test_a_link_to_a_repository_is_a_repository(tmp_path: Path) -> None:
    put(tmp_path / "real" / "m" / "1" / "model.onnx")
    (tmp_path / "link").symlink_to("real")

    assert names(tmp_path / "link") == ["m"]


def test_a_link_to_nowhere_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "m" / "1" / "model.onnx")
    (tmp_path / "m" / "2").mkdir()
    (tmp_path / "m" / "2" / "model.onnx").symlink_to("gone.onnx")

    assert one(tmp_path).version == "1"


# --- abuse


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    file = put(tmp_path / "m.onnx")
    put(tmp_path / "repository" / "m" / "1" / "model.onnx")

    said = refusal(file, tmp_path / "repository")

    assert said.startswith("two models are named 'm': ")
    assert str(file) in said
    assert refusal(file, file).startswith("two models are named 'm': ")


@pytest.mark.parametrize("name", ["_m", "-m", "a b", "ä", "a:b", "a%2f", "a" * 129, "a\n"])
def test_a_name_that_would_be_trouble_in_a_url_is_refused(tmp_path: Path, name: str) -> None:
    put(tmp_path / name / "1" / "model.onnx")

    assert "cannot be a model's name; use letters" in refusal(tmp_path)
    assert "cannot be a model's name; use letters" in refusal(put(tmp_path / f"{name}.onnx"))


def test_a_folder_without_models_says_what_was_expected(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        f"{tmp_path} holds no model: expected <name>/<version>/model.onnx in it, "
        "where <version> is a whole number."
    )


def test_a_path_that_does_not_exist_says_what_can_be_given(tmp_path: Path) -> None:
    assert "does not exist; give an .onnx file or a folder" in refusal(tmp_path / "no.onnx")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    assert refusal(put(tmp_path / "m.pt")).endswith("m.pt is not an .onnx file.")
    assert refusal(Path("/dev/null")) == "/dev/null is not an .onnx file."


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")

    assert refusal(tmp_path / "m.onnx").endswith("m.onnx is not an .onnx file.")

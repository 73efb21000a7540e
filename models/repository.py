"""Where models are: an ONNX file, or a folder of them. Finds; runs nothing.

mnist.onnx                        a model named mnist, version 1
models/<name>/<version>/model.onnx   a repository, as Triton and KServe lay it out; of several
                                     versions model.toml says which are served, else the newest
models/<name>/model.toml             settings of all versions of <name>, optional
models/<name>/pipeline.py            what goes before and after it (see pipeline.py), optional
models/<name>/tokenizer.json         the same for a model of text, optional
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .config import ModelConfig, read_config
from .errors import BadModel, ModelNotFound

MODEL_FILE = "model.onnx"
CONFIG_FILE = "model.toml"
PIPELINE_FILE = "pipeline.py"
TOKENIZER_FILE = "tokenizer.json"
LABELS_FILE = "labels.txt"

# A name is a path segment of URLs, a label of metrics and a word in logs.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
VERSION = re.compile("[0-9]{1,18}")
LAYOUT = f"expected <name>/<version>/{MODEL_FILE} in it, where <version> is a whole number"

ZOO = Path(__file__).parent / "zoo"
"""The models that are shipped with Jitney."""


@dataclass(frozen=True)
class ModelSource:
    """One version of one model, not yet loaded."""

    name: str
    version: str
    path: Path
    """The ONNX file."""
    config: ModelConfig
    folder: Path | None = None
    """Where `model.toml` is, or would be; None for a lone ONNX file."""

    def beside(self, name: str) -> Path | None:
        """A file of this name that goes with the model; the version's own before the model's."""
        if self.folder is None:
            return None
        files = (self.path.parent / name, self.folder / name)
        return next((file for file in files if file.is_file()), None)


def find_models(paths: Iterable[Path]) -> list[ModelSource]:
    """Every model at the paths, by name, and of each the versions that it is to be served in.

    Of the zoo if there are no paths. Raises BadModel for a path that is no model and no
    repository, and for two models of one name.
    """
    return _in_order(model for path in list(paths) or [ZOO] for model in _find(path))


def find_model(paths: Iterable[Path], name: str) -> list[ModelSource]:
    """The versions that one model is to be served in, the lowest first.

    Looks nowhere but where a model of this name would be, so that what is wrong with
    another does not matter. Raises ModelNotFound, and BadModel if it cannot be used.
    """
    if not NAME.fullmatch(name):  # it may come from the network, and becomes part of a path
        raise ModelNotFound(name)
    places = (model for path in list(paths) or [ZOO] for model in _find_one(path, name))
    if not (sources := _in_order(places)):
        raise ModelNotFound(name)
    return sources


def places(paths: Iterable[Path]) -> dict[str, Path]:
    """Where each model lies, a folder or a file, by name. Reads nothing that is in them.

    So what is wrong with one matters to none of the others. Raises OSError for a path that
    cannot be read, or is not there.
    """
    found: dict[str, Path] = {}
    for path in list(paths) or [ZOO]:
        if path.is_file():
            found[path.stem] = path
        elif _holds_versions(path):
            found[_name_of(path)] = path
        else:
            for folder in path.iterdir():
                if not folder.name.startswith(".") and folder.is_dir() and _holds_versions(folder):
                    found[folder.name] = folder
    return found


def _holds_versions(folder: Path) -> bool:
    return any(
        VERSION.fullmatch(sub.name) and (sub / MODEL_FILE).is_file() for sub in folder.iterdir()
    )


def _in_order(models: Iterable[list[ModelSource]]) -> list[ModelSource]:
    """All versions of all models, by name; BadModel if two have the same."""
    seen: dict[str, list[ModelSource]] = {}
    for sources in models:
        first = sources[0]
        if others := seen.get(first.name):
            raise BadModel(
                f"two models are named {first.name!r}: {others[0].path} and {first.path}; "
                "rename one."
            )
        seen[first.name] = sources
    return [source for name in sorted(seen) for source in seen[name]]


def _find(path: Path) -> list[list[ModelSource]]:
    """All models at a path, each a list of its versions."""
    if not path.exists():
        raise BadModel(f"{path} does not exist; give an .onnx file or a folder of models.")
    if not path.is_dir():
        if not path.is_file() or path.suffix != ".onnx":
            raise BadModel(f"{path} is not an .onnx file.")
        return [[ModelSource(_named(path.stem, path), "1", path, ModelConfig())]]
    if versions := _versions(path, root=path):
        return [_chosen(path, versions, root=path)]
    found = [
        _chosen(folder, versions, root=path)
        for folder in sorted(path.iterdir())
        if not folder.name.startswith(".") and (versions := _versions(folder, root=path))
    ]
    if not found:
        raise BadModel(f"{path} holds no model: {LAYOUT}.")
    return found


def _find_one(path: Path, name: str) -> list[list[ModelSource]]:
    """The model of this name at a path, as a list of its versions; an empty list if none is."""
    if not path.is_dir():
        return _find(path) if path.is_file() and path.stem == name else []
    if versions := _versions(path, root=path):
        return [_chosen(path, versions, root=path)] if _name_of(path) == name else []
    folder = path / name
    versions = _versions(folder, root=path)
    return [_chosen(folder, versions, root=path)] if versions else []


def _chosen(folder: Path, versions: dict[int, Path], root: Path) -> list[ModelSource]:
    """The versions of a model that its settings ask for, the lowest first."""
    name = _named(_name_of(folder), folder)
    toml = _within(root, folder / CONFIG_FILE)
    config = read_config(toml)
    try:
        numbers = config.chosen(versions)
    except ValueError as error:
        raise BadModel(f"{toml}: {error}.") from error
    sources = [
        ModelSource(name, str(number), versions[number], config, folder) for number in numbers
    ]
    for source in sources:
        for file in filter(None, map(source.beside, (PIPELINE_FILE, TOKENIZER_FILE, LABELS_FILE))):
            _within(root, file)
    return sources


def _name_of(folder: Path) -> str:
    # Its own name, not that of what it may be a link to; and a name even for ".".
    return Path(os.path.abspath(folder)).name


def _versions(folder: Path, root: Path) -> dict[int, Path]:
    """The ONNX file of each version in a model's folder."""
    if not folder.is_dir():
        return {}
    versions: dict[int, Path] = {}
    for sub in folder.iterdir():
        file = sub / MODEL_FILE
        if VERSION.fullmatch(sub.name) and file.is_file():
            if other := versions.get(int(sub.name)):
                raise BadModel(f"{other.parent} and {sub} are the same version; remove one.")
            versions[int(sub.name)] = _within(root, file)
    return versions


def _within(root: Path, file: Path) -> Path:
    """The file, if it is in the repository, whatever links lead to it."""
    # Links are welcome (Kubernetes mounts volumes so), but not out of the repository.
    if not file.resolve().is_relative_to(root.resolve()):
        raise BadModel(f"{file} leads out of {root}; copy the file instead of linking it.")
    return file


def _named(name: str, path: Path) -> str:
    if not NAME.fullmatch(name):
        raise BadModel(
            f"{path} cannot be a model's name; use letters, digits, '.', '_' and '-', "
            "and begin with a letter or digit."
        )
    return name

"""Where models are: an ONNX file, or a folder of them. Finds; runs nothing.

mnist.onnx                        a model named mnist, version 1
models/<name>/<version>/model.onnx   a repository, as Triton and KServe lay it out
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
from .errors import BadModel

MODEL_FILE = "model.onnx"
CONFIG_FILE = "model.toml"
PIPELINE_FILE = "pipeline.py"
TOKENIZER_FILE = "tokenizer.json"

# A name is a path segment of URLs, a label of metrics and a word in logs.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
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
    """The newest version of every model at the paths, by name; of the zoo if there are none.

    Raises BadModel for a path that is no model and no repository, and for two
    models of one name.
    """
    sources = [source for path in list(paths) or [ZOO] for source in _find(path)]
    seen: dict[str, ModelSource] = {}
    for source in sources:
        if other := seen.get(source.name):
            raise BadModel(
                f"two models are named {source.name!r}: {other.path} and {source.path}; rename one."
            )
        seen[source.name] = source
    return [seen[name] for name in sorted(seen)]


def _find(path: Path) -> list[ModelSource]:
    if not path.exists():
        raise BadModel(f"{path} does not exist; give an .onnx file or a folder of models.")
    if not path.is_dir():
        if not path.is_file() or path.suffix != ".onnx":
            raise BadModel(f"{path} is not an .onnx file.")
        return [ModelSource(_named(path.stem, path), "1", path, ModelConfig())]
    if versions := _versions(path, root=path):
        return [_newest(path, versions, root=path)]
    found = [
        _newest(folder, versions, root=path)
        for folder in sorted(path.iterdir())
        if not folder.name.startswith(".") and (versions := _versions(folder, root=path))
    ]
    if not found:
        raise BadModel(f"{path} holds no model: {LAYOUT}.")
    return found


def _newest(folder: Path, versions: dict[int, Path], root: Path) -> ModelSource:
    version = max(versions)
    # Its own name, not that of what it may be a link to; and a name even for ".".
    name = _named(Path(os.path.abspath(folder)).name, folder)
    config = read_config(_within(root, folder / CONFIG_FILE))
    source = ModelSource(name, str(version), versions[version], config, folder)
    for file in filter(None, map(source.beside, (PIPELINE_FILE, TOKENIZER_FILE))):
        _within(root, file)
    return source


def _versions(folder: Path, root: Path) -> dict[int, Path]:
    """The ONNX file of each version in a model's folder."""
    if not folder.is_dir():
        return {}
    versions: dict[int, Path] = {}
    for sub in folder.iterdir():
        file = sub / MODEL_FILE
        if re.fullmatch("[0-9]{1,18}", sub.name) and file.is_file():
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

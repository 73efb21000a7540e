"""The import rules of the design, read from the code itself."""

import ast
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"batching", "models", "serving"}
WEB = {"fastapi", "fastapi_offline", "starlette", "uvicorn", "grpc", "grpc_health", "google"}


def imports(path: Path) -> Iterator[str]:
    """The absolute names of the modules that a file imports, anywhere in it."""
    package = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield node.module or ""
            else:
                base = ".".join(package[: len(package) - node.level])
                yield f"{base}.{node.module}" if node.module else base


def files(folder: str) -> list[Path]:
    found = sorted(path for path in (ROOT / folder).rglob("*.py") if "zoo" not in path.parts)
    assert found, f"no files in {folder}"
    return found


def tops(folder: str) -> dict[str, set[str]]:
    """For each file, the first words of what it imports."""
    return {
        str(path.relative_to(ROOT)): {name.split(".")[0] for name in imports(path)}
        for path in files(folder)
    }


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("batching", {"models", "serving", *WEB}),
        ("models", {"batching", "serving", *WEB}),
        ("serving/protocol", {"batching", "models", *WEB}),
        ("load_tests", OURS),
        ("models/zoo", OURS),
    ],
)
def test_nobody_imports_what_is_not_theirs(folder, forbidden):
    for path in (ROOT / folder).rglob("*.py"):
        crossed = {name.split(".")[0] for name in imports(path)} & forbidden
        assert not crossed, f"{path.relative_to(ROOT)} imports {crossed}"


def test_only_one_file_knows_the_engine():
    knowing = [
        name
        for folder in ("batching", "models", "serving")
        for name, tops_ in tops(folder).items()
        if "onnxruntime" in tops_
    ]
    assert knowing == ["models/onnx_runtime.py"]


def test_grpc_is_known_behind_its_own_door_only():
    """Who starts without it must not pay for its import."""
    for name, used in tops("serving").items():
        assert name.startswith("serving/grpc/") or not used & {"grpc", "grpc_health", "google"}


def test_batching_knows_numpy_in_one_file_only():
    assert [name for name, used in tops("batching").items() if "numpy" in used] == [
        "batching/tensors.py"
    ]


def test_the_protocol_knows_nothing_of_the_rest_of_serving():
    for path in files("serving/protocol"):
        for name in imports(path):
            assert not name.startswith("serving.") or name.startswith("serving.protocol")


@pytest.mark.parametrize("package", sorted(OURS))
def test_imports_are_relative_inside_a_package_and_absolute_across(package):
    for path in files(package):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                assert node.module.split(".")[0] != package, f"{path}: from {node.module}"


@pytest.mark.parametrize("package", sorted(OURS))
def test_no_other_distribution_provides_our_names(package):
    # An editable install does not list its packages; a wheel does.
    assert set(packages_distributions().get(package, [])) <= {"jitney"}
    assert Path(str(find_spec(package).origin)).is_relative_to(ROOT)


@pytest.mark.parametrize("package", sorted(OURS))
def test_files_stay_small(package):
    for path in files(package):
        if "generated" in path.parts:
            continue
        lines = len(path.read_text().splitlines())
        assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines: what arrived in it?"

"""The script that finds real models in installed packages says what is missing."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "load_tests" / "real_models.py"


@pytest.fixture(scope="module")
def installed() -> Callable[[str, str], Path]:
    function: Callable[[str, str], Path] = runpy.run_path(str(SCRIPT))["installed"]
    return function


def test_a_file_of_a_package_is_found_without_importing_it(
    installed: Callable[[str, str], Path],
) -> None:
    assert installed("pytest", "entry_points.txt").read_text().startswith("[console_scripts]")


def test_a_package_that_is_not_installed_is_named(installed: Callable[[str, str], Path]) -> None:
    with pytest.raises(LookupError, match="package no-such-one is not installed; run: make models"):
        installed("no-such-one", "model.onnx")


@pytest.mark.parametrize(("name", "count"), [("no.onnx", "0"), ("__init__.py", "[0-9]+")])
def test_a_file_must_be_the_only_one(
    installed: Callable[[str, str], Path], name: str, count: str
) -> None:
    with pytest.raises(LookupError, match=rf"^the package pytest has {count} files named {name}"):
        installed("pytest", name)

"""`jitney inspect` as a person meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import onnx_models

QUICK = "--profile-budget=0.2"


def inspect(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "serving.cli", "inspect", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def shown(*arguments: str | Path, **environment: str) -> str:
    ended = inspect(*arguments, **environment)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    return ended.stdout


def test_it_shows_signature_proof_threads_curve_and_what_follows(tmp_path: Path) -> None:
    text = shown(onnx_models.doubler(tmp_path / "twice.onnx"), QUICK)

    assert text.startswith("twice (version 1)\n  in   x: float32 [batch, 4]\n")
    assert "  out  y: float32 [batch, 4]\n" in text
    assert "  rows give the same alone and together: batched\n" in text
    assert " a run, " in text
    assert "   1 " in text
    assert "##" in text
    assert text.count("<- chosen") == 1
    assert "  batching pays up to " in text


def test_without_a_path_it_shows_the_shipped_models() -> None:
    text = shown(QUICK)

    assert text.startswith("digits (version 1): Reads a handwritten digit")
    assert "\niris (version 1): Tells the species" in text


def test_a_model_that_is_not_batched_says_why(tmp_path: Path) -> None:
    text = shown(onnx_models.neighbourly(tmp_path / "m.onnx"), QUICK)

    assert "not batched: output 'y' differs by " in text
    assert "chosen" not in text


def test_for_programs_it_is_json(tmp_path: Path) -> None:
    (values,) = json.loads(shown(onnx_models.doubler(tmp_path / "m.onnx"), QUICK, "--json"))

    assert values["name"] == "m"
    assert values["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert values["batches"] is True
    assert values["threads"] * values["slots"] <= (os.cpu_count() or 1)
    assert values["samples"][0].keys() == {"rows", "length", "seconds"}
    assert len(values["coefficients"]) == 4
    assert values["chosen"][0]["rows"] <= values["max_rows"]


def test_a_second_time_it_shows_the_same_and_fresh_it_measures(tmp_path: Path) -> None:
    arguments = (onnx_models.doubler(tmp_path / "m.onnx"), QUICK, "--json")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    first = shown(*arguments, **cache)

    assert shown(*arguments, **cache) == first
    assert shown(*arguments, "--fresh", **cache) != first


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.onnx"], "none.onnx does not exist"),
        (["--profile-budget=-1"], "profile_budget_s must be at least 0, got -1.0"),
        (["--profile-budget=nan"], "profile_budget_s must be at least 0, got nan"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], words: str) -> None:
    ended = inspect(*arguments)

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("jitney: ")
    assert words in ended.stderr

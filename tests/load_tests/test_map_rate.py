"""The report of `jitney map` against onnxruntime alone. What it measures takes minutes."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.load_tests.scripts import scripts


@pytest.fixture
def map_rate() -> Iterator[ModuleType]:
    with scripts():
        import map_rate  # type: ignore[import-not-found]

        yield map_rate


def test_medians_are_of_ratios_within_pairs(map_rate: ModuleType) -> None:
    pairs = [
        {"bare": 100, "work": 90, "whole": 80},
        {"bare": 50, "work": 48, "whole": 40},
        {"bare": 200, "work": 100, "whole": 90},
    ]
    result = {"pairs": pairs, "kills": {"moments_s": [1.0, 2.0], "same": False}}

    report = map_rate.report({"perceptron": result})

    assert "| perceptron | 2 | 50 | 48 | 0.96 | 40 | 0.80 |" in report
    assert "| perceptron | **median** | 100 | 90 | 0.90 | 80 | 0.80 |" in report
    assert "killed 2 times, the output DIFFERS from an undisturbed one" in report


def test_the_table_is_whole_or_not_there(map_rate: ModuleType, tmp_path: Path) -> None:
    map_rate.write_numbers(tmp_path / "in.parquet", 10_000)

    table = pq.read_table(tmp_path / "in.parquet")
    assert table["id"].to_pylist() == list(range(10_000))
    assert {len(row) for row in table["x"].to_pylist()} == {256}
    assert np.unique(table["x"].combine_chunks().flatten().to_numpy()[:1000]).size > 900
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_what_is_cleared_belongs_to_the_output(map_rate: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.parquet.parts").mkdir()
    for name in ("a.parquet", "a.parquet.map.json", "a.parquet.parts/lock", "b.parquet"):
        (tmp_path / name).touch()

    map_rate.clear(tmp_path / "a.parquet")

    assert [path.name for path in tmp_path.iterdir()] == ["b.parquet"]

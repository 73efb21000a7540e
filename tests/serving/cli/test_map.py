"""`jitney map`, as a process of its own: killed, interrupted, watched."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.serving.mapping.tables import read, rejected, write
from tests.support import onnx_models

ROWS = 20_000


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "serving.cli", "map", *map(str, arguments)]


def mapped(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def model(tmp_path) -> Path:
    return onnx_models.heavy(tmp_path / "heavy.onnx", width=256, layers=24)


def table(path: Path, rows: int, width: int = 256) -> Path:
    """Rows of numbers, some of them bad; written in pieces, so that they need no memory."""
    rng = np.random.default_rng(0)
    schema = pa.schema([("id", pa.int64()), ("x", pa.list_(pa.float32()))])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, 1000):
            lengths = np.full(min(1000, rows - first), width)
            lengths[7] = 3
            x = rng.standard_normal(lengths.sum(), np.float32)
            ends = np.concatenate([[0], np.cumsum(lengths)])
            ids = np.arange(first, first + len(lengths))
            lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(x))
            writer.write_table(pa.table([pa.array(ids), lists], schema))
    return path


def test_killed_at_any_moment_and_started_again_nothing_is_lost_or_doubled(tmp_path, model):
    data = table(tmp_path / "in.parquet", ROWS)
    undisturbed, output = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    took_s = []
    for _ in range(2):  # one of them may have been in somebody's way
        began = time.monotonic()
        done = mapped(model, data, undisturbed, "--overwrite", "--profile-budget", "0.2")
        took_s.append(time.monotonic() - began)
        assert done.returncode == 3
    whole_s = min(took_s)
    rng = random.Random(0)

    code, kills = None, 0
    while code is None:
        process = subprocess.Popen(command(model, data, output), stderr=subprocess.DEVNULL)
        try:
            # Each later than the one before, so that it comes to an end.
            code = process.wait(rng.uniform(0.3, 1.0) * whole_s * (0.35 + 0.06 * kills))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1

    assert code == 3
    assert kills >= 3
    assert pq.read_table(output).equals(pq.read_table(undisturbed))
    assert rejected(output) == rejected(undisturbed)
    assert [row["row"] for row in rejected(output)] == list(range(7, ROWS, 1000))
    assert not output.with_name("out.parquet.parts").exists()


SLOW = """
import os, time

def before(inputs):
    if not os.path.exists({hurry!r}):
        time.sleep(0.02)
    return inputs
"""


def test_interrupted_it_says_how_to_go_on(tmp_path):
    """The model takes its time until it is told to hurry: no machine is done too soon."""
    data = table(tmp_path / "in.parquet", ROWS)
    folder, hurry = tmp_path / "slow", tmp_path / "hurry"
    onnx_models.doubler(folder / "1" / "model.onnx", width=256)
    (folder / "pipeline.py").write_text(SLOW.format(hurry=str(hurry)))
    process = subprocess.Popen(
        command(folder, data, tmp_path / "out.jsonl"), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    # Said right before the first row.
    while "slow: x" not in (line := process.stderr.readline()):
        assert line, "it ended"
    manifest = tmp_path / "out.jsonl.parts" / "manifest.json"
    while not manifest.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    hurry.touch()
    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert said.splitlines()[-1] == "jitney: interrupted; the same command goes on where it was."


def test_memory_does_not_grow_with_the_table(tmp_path):
    model = onnx_models.doubler(tmp_path / "doubler.onnx", width=256)
    peaks = []
    for rows in (40_000, 160_000):
        data = table(tmp_path / f"{rows}.parquet", rows)
        script = (
            "import resource, sys; from serving.cli import main\n"
            "try: main(sys.argv[1:])\n"
            "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, "map", model, data, tmp_path / f"{rows}.out.parquet"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 3, done.stderr
        peaks.append(int(done.stdout) * (1 if sys.platform == "darwin" else 1024))

    # The larger table is 120 MB more, and so is what comes out of it.
    assert peaks[1] - peaks[0] < 80 * 2**20


def test_a_mistake_is_one_line_and_code_2(tmp_path, model):
    data = write(tmp_path / "in.csv", [{"id": 1, "name": "a"}])

    done = mapped(model, data, tmp_path / "out.csv", "--input", "x=pixels")

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "jitney: there is no column 'pixels'. The columns are id (int64), name (string)."
    ]


def test_a_shipped_model_by_its_name_and_the_summary(tmp_path):
    flowers = [{"a": 5.1, "b": 3.5, "c": 1.4, "d": 0.2, "who": "me"}] * 3
    data = write(tmp_path / "in.csv", [*flowers, {**flowers[0], "d": "?"}])

    done = mapped(
        "iris", data, tmp_path / "out.jsonl",
        "--input", "sepal_cm=a,b", "--input", "petal_cm=c,d", "--keep", "who",
    )  # fmt: skip

    assert done.returncode == 3
    assert "3 rows in" in done.stderr
    assert "1 set aside in" in done.stderr
    assert [row["who"] for row in read(tmp_path / "out.jsonl")] == ["me"] * 3
    assert [row["species"] for row in read(tmp_path / "out.jsonl")] == ["setosa"] * 3
    report = json.loads((tmp_path / "out.jsonl.map.json").read_text())
    assert report["rejected"] == 1


def test_too_many_bad_rows_have_a_code_of_their_own(tmp_path, model):
    data = table(tmp_path / "in.parquet", 2000)

    done = mapped(model, data, tmp_path / "out.parquet", "--max-rejected", 1)

    assert done.returncode == 4
    assert "2 rows had to be set aside, and 1 are allowed; the first: row 7: " in done.stderr


def test_the_readmes_example_works(tmp_path):
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    script = readme.split("<!-- map: a test runs it -->\n```sh\n")[1].split("```")[0]
    jitney = f"{sys.executable} -m serving.cli"

    done = subprocess.run(
        ["sh", "-ec", script.replace("jitney map", f"{jitney} map")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    out = read(tmp_path / "species.parquet")
    assert [(row["id"], row["species"]) for row in out] == [(1, "setosa"), (2, "versicolor")]

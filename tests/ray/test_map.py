"""`jitney map --engine ray` on a cluster of several raylets: the same, to the bit, as here."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ray.cluster import Ray, cluster, until
from tests.support import onnx_models, text_models

ACTOR = "_Actor"


@pytest.fixture(scope="module")
def ray() -> Ray:
    with cluster(3) as found:
        yield found


def command(model: Path, table: Path, output: Path, *more: str, ray: Ray | None = None) -> list:
    words = [sys.executable, "-m", "serving.cli", "map", model, table, output]
    words += ["--profile-budget", "0.2", *more]
    return words + (["--engine", "ray", "--ray-address", ray.address] if ray else [])


def mapped(*arguments: object, ray: Ray | None = None, code: int = 0) -> str:
    """What it has said."""
    ended = subprocess.run(
        command(*arguments, ray=ray),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        # As many threads a run, here and there: the cluster's machines have one CPU each.
        preexec_fn=None if ray else one_core,
    )
    assert ended.returncode == code, ended.stderr
    return ended.stderr


def one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def same(one: Path, other: Path) -> None:
    """To the last bit. Where Parquet's row groups end depends on when parts were sealed."""
    if one.suffix == ".parquet":
        assert pq.read_table(one).equals(pq.read_table(other), check_metadata=True)
    else:
        assert one.read_bytes() == other.read_bytes()
    rejected = [path.with_name(path.name + ".rejected.jsonl") for path in (one, other)]
    assert rejected[0].exists() == rejected[1].exists()
    if rejected[0].exists():
        assert rejected[0].read_bytes() == rejected[1].read_bytes()


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_rows_good_and_bad_are_as_without_a_cluster(ray, tmp_path, kind):
    model = onnx_models.scaler(tmp_path / "scaler.onnx", 3.0)
    with (tmp_path / "in.jsonl").open("w") as table:
        for row in range(20_000):
            x = [row % 1000, 1, 2, 3]
            if row % 4999 == 7:
                x = x[:3]  # too short
            if row % 3001 == 11:
                x[0] = 5000  # the model fails on it
            table.write(json.dumps({"id": row, "x": x, "label": f"no {row}"}) + "\n")
            if row % 7000 == 13:
                table.write("{ no JSON\n")
    here, there = tmp_path / f"here.{kind}", tmp_path / f"there.{kind}"

    mapped(model, tmp_path / "in.jsonl", here, code=3)
    mapped(model, tmp_path / "in.jsonl", there, ray=ray, code=3)

    same(here, there)


def test_the_model_travels_with_its_pipeline_and_texts_are_grouped_as_here(ray, tmp_path):
    """The machines have neither the file nor what lies beside it."""
    text_models.encoder(tmp_path / "m" / "1" / "model.onnx")
    text_models.tokenizer(tmp_path / "m" / "tokenizer.json")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(text_models.WORDS, rng.integers(0, 40))) for _ in range(5000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "in.parquet")

    mapped(tmp_path / "m", tmp_path / "in.parquet", tmp_path / "here.parquet")
    mapped(tmp_path / "m", tmp_path / "in.parquet", tmp_path / "there.parquet", ray=ray)

    same(tmp_path / "here.parquet", tmp_path / "there.parquet")


SLOW = """
import os, time

def before(inputs):
    if not os.path.exists({hurry!r}):
        time.sleep(0.001)
    return inputs
"""


@dataclass(frozen=True)
class Long:
    """A model that takes its time with every row until it is told to hurry, and a table for it.

    So a cluster is busy for 20 s however fast its machines are, and nobody waits for it longer
    than until what should happen in the middle has happened.
    """

    model: Path
    table: Path
    expected: Path
    hurry: Path

    def running(self, output: Path, ray: Ray, **how: Any) -> subprocess.Popen[str]:
        """It maps, and has kept a part of what it will do."""
        self.hurry.unlink(missing_ok=True)
        running = subprocess.Popen(command(self.model, self.table, output, ray=ray), **how)
        until(lambda: parts(output) or running.poll() is not None)
        assert running.poll() is None
        return running


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Long:
    folder = tmp_path_factory.mktemp("long")
    model, table, hurry = folder / "heavy", folder / "in.parquet", folder / "hurry"
    onnx_models.heavy(model / "1" / "model.onnx", width=128, layers=24)
    # In batches of other sizes the last bits may differ, and sizes are measured anew each time.
    (model / "model.toml").write_text("max_batch_rows = 16\nthreads = 1\n")
    (model / "pipeline.py").write_text(SLOW.format(hurry=str(hurry)))
    x = np.random.default_rng(0).standard_normal((60_000, 128), np.float32)
    columns = {"id": np.arange(len(x)), "x": pa.FixedSizeListArray.from_arrays(x.ravel(), 128)}
    pq.write_table(pa.table(columns), table, row_group_size=3000)
    hurry.touch()
    mapped(model, table, folder / "here.parquet")
    return Long(model, table, folder / "here.parquet", hurry)


def parts(output: Path) -> int:
    return len(list(output.with_name(output.name + ".parts").glob("part-*.json")))


def test_a_machine_is_killed_in_the_middle(ray, long, tmp_path):
    """Its blocks are done by the others: nothing is lost, nothing doubled."""
    output = tmp_path / "out.parquet"
    running = long.running(output, ray, stderr=subprocess.PIPE, text=True)

    ray.ask("kill", ACTOR)

    long.hurry.touch()
    said = running.communicate(timeout=120)[1]
    assert running.returncode == 0, said
    same(long.expected, output)


def test_it_is_killed_itself_and_goes_on(ray, long, tmp_path):
    """Begun on the cluster, ended without one: what is done is done the same way."""
    output = tmp_path / "out.parquet"
    running = long.running(output, ray, stderr=subprocess.DEVNULL)
    running.kill()
    running.wait()

    long.hurry.touch()
    said = mapped(long.model, long.table, output)

    assert "going on behind the" in said
    same(long.expected, output)


def test_mistakes_are_told_in_a_sentence(ray, tmp_path):
    model = onnx_models.doubler(tmp_path / "doubler.onnx")
    pq.write_table(pa.table({"x": [[1.0, 2.0, 3.0, 4.0]]}), tmp_path / "in.parquet")
    table, output = tmp_path / "in.parquet", tmp_path / "out.parquet"

    assert "--ray-address goes with --engine ray" in mapped(
        model, table, output, "--ray-address", ray.address, code=2
    )
    nobody = Ray("127.0.0.2:1", "", ray.process, {})
    said = mapped(model, table, output, ray=nobody, code=2)
    assert "there is no Ray cluster at 127.0.0.2:1: start one" in said
    assert "Traceback" not in said

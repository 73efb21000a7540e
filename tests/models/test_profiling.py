"""What a load finds out of real models: proof, threads, slots, grid, example."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from models.config import ModelConfig
from models.errors import BadModel
from models.machine import cpu_quota, usable_cores
from models.profile import Profile
from models.profiling import Subject, find_profile, warm_up
from models.proof import Proof
from models.registry import Model, load
from models.repository import ModelSource, find_models
from models.signature import Signature, Tensors, TensorSpec
from tests.support import onnx_models
from tests.support.text_models import encoder, tokenizer
from tests.support.threads import COUNTABLE, thread_count, thread_count_becomes


def loaded(path: Path, cores: int = 1, **config: object) -> Model:
    source = ModelSource("m", "1", path, ModelConfig(**config))  # type: ignore[arg-type]
    # What is so small is measured long before; a stall must not be what ends it.
    return load(source, cores=cores, budget_s=10.0, fresh=True)


class Timed:
    """y = x, on a clock of its own: a run takes what its threads and rows make of it."""

    def __init__(self, row_s: float) -> None:
        spec = TensorSpec("x", np.dtype("f4"), ("batch", 2))
        self.signature = Signature((spec,), (TensorSpec("y", spec.dtype, spec.shape),))
        self.row_s = row_s
        self.now = 0.0
        self.closed = False

    def run(self, inputs: Tensors) -> Tensors:
        self.now += self.row_s * len(inputs["x"])
        return {"y": inputs["x"]}

    def close(self) -> None:
        self.closed = True


def profile_of(model: Timed, *, budget_s: float, cores: int = 1, **config: object) -> Profile:
    source = ModelSource("m", "1", Path("m"), ModelConfig(**config))  # type: ignore[arg-type]
    return find_profile(
        Subject(source, model, None, cores),
        threads=1,
        budget_s=budget_s,
        reopen=lambda _: Timed(model.row_s),
        keep=lambda _: None,
        tell=lambda _: None,
        clock=lambda: model.now,
    )


@pytest.mark.parametrize("row_s", [0.0001, 0.01, 0.05, 0.2])
def test_proof_and_grid_share_one_budget(row_s: float) -> None:
    model = Timed(row_s)

    profile = profile_of(model, budget_s=2.0)

    assert profile.proof.batches
    # Two rows alone, the same together, one to warm up and one to measure must be.
    assert model.now <= max(2.0 + row_s, 6 * row_s)


def test_a_profile_of_fixed_shapes(tmp_path: Path) -> None:
    profile = loaded(onnx_models.doubler(tmp_path / "m.onnx")).profile

    assert profile.proof.batches
    assert profile.max_rows >= 8
    assert profile.samples == tuple(sorted(profile.samples))
    assert {length for _, length, _ in profile.samples} == {0}


@pytest.mark.parametrize(
    ("model", "config", "words"),
    [
        (onnx_models.neighbourly, {}, "not batched: output 'y' differs"),
        (onnx_models.for_one, {}, "none of them does alone"),
        (onnx_models.doubler, {"batching": False}, "as its model.toml says"),
        (onnx_models.doubler, {"max_batch_rows": 1}, "as its model.toml says"),
        (onnx_models.similarity, {}, "its shapes have no axis for a batch"),
    ],
)
def test_what_is_not_batched_is_measured_for_one_row(model, config, words, tmp_path) -> None:  # type: ignore[no-untyped-def]
    profile = loaded(model(tmp_path / "m.onnx"), **config).profile

    assert not profile.proof.batches
    assert words in profile.proof.says
    assert [rows for rows, _, _ in profile.samples] == [1]
    assert profile.max_rows == 1


def test_max_batch_rows_bounds_what_is_measured(tmp_path: Path) -> None:
    profile = loaded(onnx_models.doubler(tmp_path / "m.onnx"), max_batch_rows=6).profile

    assert {rows for rows, _, _ in profile.samples} == {1, 2, 4, 6}


@pytest.mark.parametrize(
    ("cores", "threads", "slots"), [(1, None, 1), (4, 2, 2), (4, 3, 1), (2, 8, 1)]
)
def test_threads_that_are_set_are_used(
    tmp_path: Path, cores: int, threads: int | None, slots: int
) -> None:
    profile = loaded(onnx_models.doubler(tmp_path / "m.onnx"), cores, threads=threads).profile

    assert (profile.threads, profile.slots) == (min(threads or cores, cores), slots)


@pytest.mark.parametrize("threads", [None, 1, 2, 3, 8])
@pytest.mark.parametrize("quota", ["50000", "100000", "190000", "200000", "max"])
def test_slots_times_threads_never_exceed_the_quota(
    tmp_path: Path, quota: str, threads: int | None
) -> None:
    """Lesson 22: whatever is set or measured, by the quota of a container."""
    own = tmp_path / "own"
    own.write_text("0::/\n")
    (tmp_path / "cpu.max").write_text(f"{quota} 100000\n")
    cores = usable_cores(tmp_path, own)
    source = ModelSource(
        "m", "1", onnx_models.doubler(tmp_path / "m.onnx"), ModelConfig(threads=threads)
    )

    profile = load(source, cores=cores, budget_s=0.01, fresh=True).profile

    granted = cpu_quota(tmp_path, own)
    assert profile.slots * profile.threads <= max(1, granted)
    assert profile.slots >= 1


@pytest.mark.skipif(not COUNTABLE, reason="the system does not tell threads")
def test_threads_are_chosen_by_measurement_and_the_loser_is_closed(tmp_path: Path) -> None:
    before = thread_count()

    model = loaded(onnx_models.heavy(tmp_path / "m.onnx", width=64, layers=2), cores=2)

    assert (model.profile.threads, model.profile.slots) in {(2, 1), (1, 2)}  # lesson 22
    assert thread_count_becomes(before + model.profile.threads - 1)
    assert len(model.runtime.run(model.example(rows=3))["y"]) == 3


def test_an_example_makes_a_proof_of_a_model_that_takes_no_other_input(tmp_path: Path) -> None:
    # Whatever is made up, zeros included, is not found in a table that is asked from its end.
    path = onnx_models.write(
        tmp_path / "m.onnx",
        [("Sub", ["index", "far"], ["near"]), ("Gather", ["table", "near"], ["y"])],
        [("index", TensorProto.INT64, ["batch", 1])],
        [("y", TensorProto.FLOAT, ["batch", 1])],
        {"far": np.array(5000), "table": np.arange(10, dtype=np.float32)},
    )

    assert "give an [example]" in loaded(path).profile.proof.says
    with pytest.raises(BadModel, match="fails on its example"):
        loaded(path, example={"index": [1]})
    # Smaller numbers fail here; the example alone does not make a comparison.
    alike = loaded(path, example={"index": [5003]}).profile
    assert not alike.proof.batches
    assert "all the same" in alike.proof.says


def test_what_is_near_the_example_is_tried(tmp_path: Path) -> None:
    path = onnx_models.gatherer(tmp_path / "m.onnx", rows=8)

    assert loaded(path, example={"index": [7]}).profile.proof.batches


# --- text


def test_a_model_of_text_is_proven_with_padding_and_measured_by_lengths(tmp_path: Path) -> None:
    encoder(tmp_path / "m" / "1" / "model.onnx")
    tokenizer(tmp_path / "m" / "tokenizer.json")
    (tmp_path / "m" / "model.toml").write_text("[text]\nmax_length = 40\n")
    (source,) = find_models([tmp_path])

    model = load(source, cores=1, fresh=True)

    assert model.profile.proof.batches
    assert {length for _, length, _ in model.profile.samples} == {8, 32, 40}
    assert model.pipeline is not None
    prepared = model.pipeline.before(model.example(rows=3))
    assert len(model.runtime.run(prepared.tensors)["embedding"]) == 3


def test_the_example_of_a_pipeline_is_what_its_model_is_tried_near(tmp_path: Path) -> None:
    onnx_models.gatherer(tmp_path / "m" / "1" / "model.onnx", rows=8)
    (tmp_path / "m" / "pipeline.py").write_text(
        "def before(inputs):\n    return {'index': inputs['number'].astype('int64') + 3}\n"
    )
    settings = "[[inputs]]\nname = 'number'\ndatatype = 'FP32'\nshape = [-1, 1]\n"
    (tmp_path / "m" / "model.toml").write_text(settings + "[example]\nnumber = [4]\n")
    (source,) = find_models([tmp_path])

    model = load(source, cores=1, fresh=True)

    assert model.profile.proof.batches
    assert model.example()["number"].tolist() == [[4.0]]


@pytest.mark.parametrize(
    ("samples", "runs"),
    [
        (((1, 0, 0.001), (8, 0, 0.01), (32, 0, 0.1)), [32, 32]),
        (((1, 0, 0.001), (8, 0, 0.01), (32, 0, 1.0)), [8, 8]),
        (((1, 0, 3.0), (8, 0, 9.0)), []),
    ],
)
def test_a_start_runs_the_largest_batch_that_takes_no_time_in_each_slot(
    samples: tuple[tuple[int, int, float], ...], runs: list[int]
) -> None:
    model = Timed(0.001)
    ran = []

    def run(inputs: Tensors) -> Tensors:
        ran.append(len(inputs["x"]))
        return inputs

    model.run = run  # type: ignore[method-assign]
    source = ModelSource("m", "1", Path("m"), ModelConfig())
    profile = Profile(samples, 1, 2, Proof(True, "", 0.0), 32)

    warm_up(Subject(source, model, None, 1), profile)

    assert ran == runs

"""Real models that may and may not be batched: running them tells."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from models import probes
from models.onnx_runtime import OnnxRuntime
from models.proof import ALIKE, EXACT, UNPROVEN, Proof, prove, try_alone
from models.signature import Signature, Tensors, TensorSpec
from tests.support import onnx_models

FLOAT, INT = np.dtype("f4"), np.dtype("i8")


def proof_of(path: Path) -> Proof:
    runtime = OnnxRuntime(path, threads=1)
    return proof_for(runtime.run, runtime.signature)


def proof_for(run: Callable[[Tensors], Tensors], signature: Signature) -> Proof:
    tried = try_alone(
        run, probes.attempts(signature), most=probes.COUNT, until=1.0, clock=lambda: 0.0
    )
    return prove(run, signature, tried)


def signature(*outputs: TensorSpec, pad: int | None = None) -> Signature:
    tail = ("length",) if pad is not None else (2,)
    return Signature((TensorSpec("x", FLOAT, ("batch", *tail), pad),), outputs)


def floats(name: str = "y") -> TensorSpec:
    return TensorSpec(name, FLOAT, ("batch", None))


# --- models


def test_rows_that_do_not_know_each_other(tmp_path: Path) -> None:
    proof = proof_of(onnx_models.doubler(tmp_path / "m.onnx"))

    assert proof.batches
    assert proof.difference <= EXACT
    assert proof.says == "rows give the same alone and together: batched"


def test_sums_in_another_order_are_the_same(tmp_path: Path) -> None:
    proof = proof_of(onnx_models.heavy(tmp_path / "m.onnx", width=256, layers=3))

    assert proof.batches
    assert proof.difference <= EXACT


def test_an_answer_that_hangs_on_the_others(tmp_path: Path) -> None:
    proof = proof_of(onnx_models.neighbourly(tmp_path / "m.onnx"))

    assert not proof.batches
    assert proof.difference > 0.5
    assert proof.says.startswith("not batched: output 'y' differs by ")
    assert proof.says.endswith("with its batch mates")


def test_integers_that_hang_on_the_others(tmp_path: Path) -> None:
    proof = proof_of(onnx_models.running_sum(tmp_path / "m.onnx"))

    assert not proof.batches
    assert proof.says == ("not batched: output 'y' differs in 15 of 16 rows with their batch mates")


def test_a_batch_that_fails_where_no_row_does(tmp_path: Path) -> None:
    proof = proof_of(onnx_models.for_one(tmp_path / "m.onnx"))

    assert not proof.batches
    assert "16 rows together fail, though none of them does alone: " in proof.says


def test_an_output_that_is_not_one_row_a_row(tmp_path: Path) -> None:
    proof = proof_of(onnx_models.summing(tmp_path / "m.onnx"))

    assert not proof.batches
    assert proof.says == (
        "not batched: output 'y' has not one row a row: 16 went in, [1, 4] came out"
    )


def test_quantization_moves_outputs_a_little_and_is_batched_all_the_same(tmp_path: Path) -> None:
    proof = proof_of(onnx_models.quantized(tmp_path / "m.onnx"))

    assert proof.batches
    assert 1e-3 < proof.difference < 0.05
    assert "(int8 quantization does this); batched all the same" in proof.says


def test_indices_are_made_smaller_until_the_table_has_them(tmp_path: Path) -> None:
    assert proof_of(onnx_models.gatherer(tmp_path / "m.onnx", rows=150)).batches


def test_inputs_that_are_all_alike_prove_nothing(tmp_path: Path) -> None:
    # Of a table of one row only its row 0 can be asked for.
    assert proof_of(onnx_models.gatherer(tmp_path / "m.onnx", rows=1)) == ALIKE


def test_a_model_that_fails_on_everything_is_not_proven(tmp_path: Path) -> None:
    proof = proof_of(onnx_models.gatherer(tmp_path / "m.onnx", rows=0))

    assert proof == UNPROVEN
    assert "give an [example] in model.toml" in proof.says


def test_texts_are_proven_too(tmp_path: Path) -> None:
    assert proof_of(
        onnx_models.identity(tmp_path / "m.onnx", TensorProto.STRING, ["batch", 2])
    ).batches


# --- what counts as the same


def wrong_label(wrong: int) -> Callable[[Tensors], Tensors]:
    """The same numbers, and a label that is another for so many rows of a batch."""

    def run(inputs: Tensors) -> Tensors:
        labels = np.zeros(len(inputs["x"]), np.int64)
        if len(labels) > 1:
            labels[:wrong] = 1
        return {"y": inputs["x"], "label": labels}

    return run


def test_one_label_in_sixteen_may_be_a_near_tie() -> None:
    labels = TensorSpec("label", INT, ("batch",))

    assert proof_for(wrong_label(1), signature(floats(), labels)).batches
    two = proof_for(wrong_label(2), signature(floats(), labels))
    assert two.says == (
        "not batched: output 'label' differs in 2 of 16 rows with their batch mates"
    )


def test_without_numbers_that_agree_a_label_must_be_the_same() -> None:
    labels = TensorSpec("label", INT, ("batch",))

    assert not proof_for(wrong_label(1), signature(labels)).batches


def test_a_row_that_is_nearly_zero_is_measured_by_what_is_usual() -> None:
    def run(inputs: Tensors) -> Tensors:
        y = inputs["x"].copy()
        if len(y) > 1:
            y[0] = 1e-9  # from 0: infinitely much of nothing
        else:
            y[:] = np.where(y == first, 0, y)
        return {"y": y}

    first = next(probes.attempts(signature(floats())))[0]["x"]

    assert proof_for(run, signature(floats())).batches


def test_what_is_infinite_or_no_number_alone_may_be_so_together() -> None:
    def run(inputs: Tensors) -> Tensors:
        y = inputs["x"].copy()
        y[:, 0] = np.nan
        y[:, 1] = np.where(y[:, 1] > 0, np.inf, y[:, 1])
        return {"y": y}

    assert proof_for(run, signature(floats())).difference == 0


def test_numbers_that_are_lost_in_company() -> None:
    def run(inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] if len(inputs["x"]) == 1 else inputs["x"] * np.float32(np.nan)}

    proof = proof_for(run, signature(floats()))

    assert not proof.batches
    assert proof.says == "not batched: output 'y' is no longer a number with its batch mates"


def test_answers_that_are_never_numbers_prove_nothing() -> None:
    def run(inputs: Tensors) -> Tensors:
        return {"y": inputs["x"] * np.float32(np.nan)}

    assert proof_for(run, signature(floats())) == UNPROVEN


# --- padding


@pytest.mark.parametrize(("masks", "batches"), [(True, True), (False, False)])
def test_padding_must_not_be_seen(masks: bool, batches: bool) -> None:
    spec = signature(floats(), pad=0)

    def run(inputs: Tensors) -> Tensors:
        x = np.asarray(inputs["x"], np.float64)
        count = np.count_nonzero(x, axis=1) if masks else np.full(len(x), x.shape[1])
        return {"y": (x.sum(axis=1) / count)[:, np.newaxis].astype(np.float32)}

    rows = [{"x": np.ones((1, length), np.float32)} for length in (3, 8, 1)]
    tried = try_alone(run, [rows], most=16, until=1.0, clock=lambda: 0.0)

    assert prove(run, spec, tried).batches is batches


# --- time


def test_when_time_is_short_two_rows_must_do() -> None:
    now = iter(range(100))
    rows = next(probes.attempts(signature(floats())))

    tried = try_alone(
        lambda inputs: {"y": inputs["x"]}, [rows], most=16, until=4.0, clock=lambda: next(now)
    )

    assert len(tried) == 6
    late = try_alone(
        lambda inputs: {"y": inputs["x"]}, [rows], most=16, until=0.0, clock=lambda: 1.0
    )
    assert len(late) == 2

"""Real ONNX files through the real engine: types, texts, threads, and what cannot be served."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from models.errors import BadModel, InvalidInput
from models.onnx_runtime import DTYPES, OnnxRuntime
from models.repository import ZOO
from models.signature import Array, Dim
from tests.support.onnx_models import (
    doubler,
    gatherer,
    heavy,
    identity,
    optional,
    similarity,
    with_weights_in,
    write,
    zip_mapped,
)
from tests.support.threads import COUNTABLE, thread_count, thread_count_becomes

NUMBERS = [dtype for dtype in DTYPES.values() if dtype is not np.object_]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.onnx"


def runtime(path: Path, threads: int = 1) -> OnnxRuntime:
    return OnnxRuntime(path, threads=threads)


def refusal(path: Path) -> str:
    with pytest.raises(BadModel) as refused:
        runtime(path)
    said = str(refused.value)
    assert said.startswith(str(path))
    return said.removeprefix(str(path)).lstrip(": ")


def texts(*values: bytes) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


# --- types and shapes


@pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.__name__)
def test_every_type_of_number_comes_out_as_it_went_in(path: Path, dtype: type[np.generic]) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = runtime(identity(path, kind, ["batch", 2]))
    # All bits set is the largest number, -1, NaN or true.
    values = np.array([[0, 1], [2, 3]], dtype)
    if np.dtype(dtype).kind != "b":
        values[1].view(np.uint8)[:] = 255

    outputs = model.run({"x": values})

    assert model.signature.inputs[0].dtype == values.dtype
    assert outputs["y"].dtype == values.dtype
    assert outputs["y"].tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["batch", 4], ("batch", 4)),
        ([None, 3, None], (None, 3, None)),
        (["batch", "a + b"], ("batch", "a + b")),
        (["batch", "?", "-1", ""], ("batch", None, None, None)),
        ([1, 224], (1, 224)),
        ([], ()),
    ],
)
def test_dimensions_are_sizes_symbols_or_of_any_size(
    path: Path, written: list[str | int | None], read: tuple[Dim, ...]
) -> None:
    signature = runtime(identity(path, TensorProto.FLOAT, written)).signature

    assert signature.inputs[0].shape == signature.outputs[0].shape == read


def test_batching_is_possible_only_where_the_shapes_allow_it(tmp_path: Path) -> None:
    assert runtime(doubler(tmp_path / "a.onnx")).signature.batched
    fixed = identity(tmp_path / "b.onnx", TensorProto.FLOAT, [1, 4])
    assert not runtime(fixed).signature.batched
    assert not runtime(similarity(tmp_path / "c.onnx")).signature.batched


def test_a_scalar_goes_in_and_out(path: Path) -> None:
    model = runtime(identity(path, TensorProto.FLOAT, []))

    assert model.run({"x": np.array(2.5, np.float32)})["y"].shape == ()


def test_outputs_come_in_the_models_own_order(path: Path) -> None:
    nodes = [("Neg", ["x"], ["z"]), ("Abs", ["x"], ["a"])]
    shape = ("x", TensorProto.FLOAT, ["batch"])
    path = write(path, nodes, [shape], [(name, *shape[1:]) for name in ("z", "a")])

    outputs = runtime(path).run({"x": np.array([-1], np.float32)})

    assert {name: values.tolist() for name, values in outputs.items()} == {"z": [1], "a": [1]}
    assert list(outputs) == ["z", "a"]


def test_read_only_and_scattered_arrays_are_taken(path: Path) -> None:
    model = runtime(doubler(path, width=2))
    received = np.frombuffer(np.arange(4, dtype=np.float32).tobytes(), np.float32)

    assert model.run({"x": received.reshape(2, 2).T})["y"].tolist() == [[0, 4], [2, 6]]


# --- texts


def test_texts_are_bytes_outside(path: Path) -> None:
    model = runtime(identity(path, TensorProto.STRING, ["batch", 2]))
    values = texts(b"", b"a\0b", "né".encode(), "\N{GRINNING FACE}".encode()).reshape(2, 2)

    output = model.run({"x": values})["y"]

    assert output.dtype == object
    assert output.tolist() == values.tolist()


@pytest.mark.parametrize("shape", [(0,), (0, 3), ()])
def test_texts_of_any_shape_keep_it(path: Path, shape: tuple[int, ...]) -> None:
    model = runtime(identity(path, TensorProto.STRING, [None] * len(shape)))

    assert model.run({"x": np.full(shape, b"a", object)})["y"].shape == shape


def test_bytes_that_are_not_text_are_the_callers_mistake(path: Path) -> None:
    model = runtime(identity(path, TensorProto.STRING, ["batch"]))

    with pytest.raises(InvalidInput, match="input 'x': the model takes text, and this is not UTF"):
        model.run({"x": texts(b"fine", b"\xff")})


def test_the_callers_tensors_are_left_as_they_are(path: Path) -> None:
    inputs = {"x": texts(b"a")}

    runtime(identity(path, TensorProto.STRING, ["batch"])).run(inputs)

    assert inputs["x"].tolist() == [b"a"]


# --- threads


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.skipif(not COUNTABLE, reason="this system does not list threads")
def test_threads_are_as_many_as_asked_for_and_end_with_the_model(path: Path, threads: int) -> None:
    doubler(path)
    before = thread_count()

    model = runtime(path, threads)
    model.run({"x": np.ones((64, 4), np.float32)})

    assert thread_count_becomes(before + threads - 1)  # the caller's own is the first of them
    model.close()
    assert thread_count_becomes(before)


def test_threads_do_not_spin_while_they_wait(path: Path) -> None:
    options = runtime(doubler(path), threads=2)._session.get_session_options()

    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_one_model_runs_in_many_threads_at_one_time(path: Path) -> None:
    width = 128
    model = runtime(heavy(path, width=width, layers=8), threads=2)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((1 + n % 5, width)).astype(np.float32) for n in range(40)]
    alone = [model.run({"x": x})["y"] for x in inputs]

    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda x: model.run({"x": x})["y"], inputs))

    for expected, got in zip(alone, together, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


# --- abuse


def test_a_run_that_fails_raises_and_the_next_one_works(path: Path) -> None:
    model = runtime(gatherer(path, rows=8))

    with pytest.raises(Exception, match="out of data bounds"):
        model.run({"index": np.array([[99]])})

    assert model.run({"index": np.array([[7]])})["y"].tolist() == [[7]]


@pytest.mark.parametrize("inputs", [{}, {"x": np.ones((1, 3), np.float32)}, {"x": np.ones((1, 4))}])
def test_inputs_that_nobody_checked_raise_and_do_not_crash(
    path: Path, inputs: dict[str, Array]
) -> None:
    model = runtime(doubler(path, width=4))

    with pytest.raises(Exception, match=r"INVALID_ARGUMENT|missing"):
        model.run(inputs)


@pytest.mark.parametrize("content", [b"", b"<html>404 Not Found</html>", b"\0" * 100])
def test_what_is_not_onnx_is_refused_in_words(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    said = refusal(path)

    assert said.startswith("cannot be loaded by onnxruntime ")
    assert said.endswith(". Check that it is a complete ONNX file.")
    assert "ONNXRuntimeError" not in said


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_refused(path: Path, part: float) -> None:
    whole = (ZOO / "digits" / "1" / "model.onnx").read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])

    assert "Check that it is a complete ONNX file." in refusal(path)


def test_a_file_that_is_not_there_is_refused(path: Path) -> None:
    assert "File doesn't exist" in refusal(path)


def test_dictionaries_are_refused_with_what_to_do_about_them(path: Path) -> None:
    assert refusal(zip_mapped(path)) == (
        "output 'y' is of type seq(map(string,tensor(float))). "
        "Export it without ZipMap (skl2onnx: options={'zipmap': False})."
    )


def test_what_is_no_tensor_or_of_a_type_that_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    hint = "Only tensors of numbers, booleans and strings can be served."

    assert refusal(optional(tmp_path / "a.onnx")) == (
        f"input 'x' is of type optional(tensor(float)). {hint}"
    )


def test_weights_beside_the_model_are_read_and_others_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (folder / "beside.bin", tmp_path / "secret.bin"):
        file.write_bytes(np.arange(4, dtype=np.float32).tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    x = np.zeros((1, 4), np.float32)

    assert runtime(with_weights_in(folder / "m.onnx", "beside.bin")).run({"x": x})["y"][0, 3] == 3
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin"):
        said = refusal(with_weights_in(folder / "m.onnx", location))
        assert "External data path validation failed" in said
        assert "ONNXRuntimeError" not in said

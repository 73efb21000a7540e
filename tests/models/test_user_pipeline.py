"""A user's own functions around a model, and what becomes of their mistakes."""

import logging
import sys
import threading
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from onnx import TensorProto

from models.errors import BadModel, InvalidInput, PipelineFailed
from models.onnx_runtime import OnnxRuntime
from models.pipeline import find_pipeline
from models.repository import find_models
from models.signature import Array, Tensors
from models.user_pipeline import UserPipeline
from tests.support.onnx_models import doubler, write

LENGTHS = """
    [[inputs]]
    name = "words"
    datatype = "BYTES"
    shape = [-1, -1]
    [[outputs]]
    name = "verdict"
    datatype = "BYTES"
    shape = [-1]
"""
COUNT = """
    import numpy as np

    def before(inputs):
        return {"x": np.array([[len(w) for w in row] for row in inputs["words"]], np.float32)}
"""
JUDGE = """
    def after(outputs):
        return {"verdict": np.array(["long" if y.sum() > 20 else "short" for y in outputs["y"]])}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A model y = x + x, [batch, 2], for a pipeline to be put beside."""
    doubler(tmp_path / "m" / "1" / "model.onnx", width=2)
    return tmp_path


def put(root: Path, code: str, settings: str = "") -> UserPipeline:
    (root / "m" / "pipeline.py").write_text(dedent(code))
    (root / "m" / "model.toml").write_text(dedent(settings))
    (source,) = find_models([root])
    runtime = OnnxRuntime(source.path, threads=1)
    same, pipeline = find_pipeline(source, runtime)
    assert same is runtime
    assert isinstance(pipeline, UserPipeline)
    return pipeline


def refusal(root: Path, code: str, settings: str = "") -> str:
    with pytest.raises(BadModel) as refused:
        put(root, code, settings)
    return str(refused.value)


def floats(*rows: tuple[float, ...]) -> Array:
    return np.array(rows, np.float32)


def before(body: str) -> str:
    return f"import numpy as np\ndef before(inputs):\n    {body}\n"


def after(body: str) -> str:
    return f"import numpy as np\ndef after(outputs):\n    {body}\n"


# --- what works


def test_callers_send_and_get_what_the_settings_declare(root: Path) -> None:
    pipeline = put(root, COUNT + JUDGE, LENGTHS)
    words = np.array([[b"a", b"bus"], [b"jitney", b"timetable"]], object)

    prepared = pipeline.before({"words": words})
    outputs = pipeline.after({"y": prepared.tensors["x"] * 2})

    assert list(map(str, pipeline.signature.inputs)) == ["words: bytes [batch, ?]"]
    assert list(map(str, pipeline.signature.outputs)) == ["verdict: bytes [batch]"]
    assert pipeline.signature.batched
    assert prepared.tensors["x"].tolist() == [[1, 3], [6, 9]]
    assert prepared.length == 0
    assert outputs["verdict"].tolist() == [b"short", b"long"]


def test_undeclared_tensors_are_the_models_own(root: Path) -> None:
    pipeline = put(root, before("return {'x': inputs['x'] - 1}"))

    assert [spec.name for spec in pipeline.signature.inputs] == ["x"]
    assert [spec.name for spec in pipeline.signature.outputs] == ["y"]
    assert pipeline.before({"x": floats((1, 2))}).tensors["x"].tolist() == [[0, 1]]


def test_either_function_may_be_missing(root: Path) -> None:
    tensors: Tensors = {"x": floats((1, 2))}
    outputs: Tensors = {"y": floats((3, 4))}

    assert put(root, after("return {'y': outputs['y'] / 2}")).before(tensors).tensors is tensors
    assert put(root, before("return inputs")).after(outputs) is outputs


def test_rows_may_become_more_or_fewer(root: Path) -> None:
    pipeline = put(root, before("return {'x': np.repeat(inputs['x'], 3, axis=0)}"))

    assert len(pipeline.before({"x": floats((1, 2))}).tensors["x"]) == 3


def test_a_function_may_write_to_what_it_is_given(root: Path) -> None:
    pipeline = put(root, before("inputs['x'] /= 2; return inputs"))
    sent = np.frombuffer(floats((2, 4)).tobytes(), np.float32).reshape(1, 2)

    assert pipeline.before({"x": sent}).tensors["x"].tolist() == [[1, 2]]
    assert sent.tolist() == [[2, 4]]


@pytest.mark.parametrize(
    "value",
    ["np.array([[1.0, 2.0]])", "[[1, 2]]", "np.ones((2, 1), np.uint8).T", "np.array([[1, True]])"],
)
def test_what_fits_without_loss_becomes_what_the_model_takes(root: Path, value: str) -> None:
    pipeline = put(root, before(f"return {{'x': {value}}}"))

    tensor = pipeline.before({"x": floats((0, 0))}).tensors["x"]

    assert tensor.dtype == np.float32
    assert tensor.shape == (1, 2)
    assert tensor.flags.c_contiguous


@pytest.mark.parametrize(
    "value", ['np.array(["é"])', '["é"]', 'np.array(["é".encode()])', '[b"\\xc3\\xa9"]']
)
def test_texts_become_bytes(root: Path, value: str) -> None:
    outputs = '[[outputs]]\nname = "z"\ndatatype = "BYTES"\nshape = [-1]'
    pipeline = put(root, after(f"return {{'z': {value}}}"), outputs)

    assert pipeline.after({"y": floats((0, 0))})["z"].tolist() == ["é".encode()]


def test_the_file_finds_what_lies_beside_it_and_itself(root: Path) -> None:
    (root / "m" / "labels.txt").write_text("no yes")
    code = """
        from __future__ import annotations
        from dataclasses import dataclass
        from pathlib import Path

        @dataclass
        class Labels:
            words: list[str]

        LABELS = Labels((Path(__file__).parent / "labels.txt").read_text().split())

        def after(outputs):
            return {"label": [LABELS.words[int(y[0])] for y in outputs["y"]]}
    """
    outputs = '[[outputs]]\nname = "label"\ndatatype = "BYTES"\nshape = [-1]'

    assert put(root, code, outputs).after({"y": floats((1, 0))})["label"].tolist() == [b"yes"]


def test_the_file_is_on_no_path_and_leaves_nothing_in_the_folder(root: Path) -> None:
    path, modules = list(sys.path), set(sys.modules)

    put(root, before("return inputs"))

    assert sys.path == path
    assert "pipeline" not in sys.modules
    assert all(name.startswith("_jitney_pipeline_") for name in sys.modules.keys() - modules)
    assert sorted(file.name for file in (root / "m").iterdir()) == [
        "1",
        "model.toml",
        "pipeline.py",
    ]


def test_a_changed_file_is_read_anew(root: Path) -> None:
    first = put(root, before("return {'x': inputs['x'] + 1}"))
    second = put(root, before("return {'x': inputs['x'] + 2}"))  # as long, and in the same second

    assert first.before({"x": floats((0, 0))}).tensors["x"].tolist() == [[1, 1]]
    assert second.before({"x": floats((0, 0))}).tensors["x"].tolist() == [[2, 2]]


def test_two_models_have_modules_of_their_own(root: Path) -> None:
    doubler(root / "n" / "1" / "model.onnx", width=2)
    (root / "m" / "pipeline.py").write_text("N = 1\n" + before("return {'x': inputs['x'] + N}"))
    (root / "n" / "pipeline.py").write_text("N = 5\n" + before("return {'x': inputs['x'] + N}"))

    sums = []
    for source in find_models([root]):
        _, pipeline = find_pipeline(source, OnnxRuntime(source.path, threads=1))
        assert pipeline is not None
        sums.append(pipeline.before({"x": floats((0, 0))}).tensors["x"].tolist())

    assert sums == [[[1, 1]], [[5, 5]]]


# --- the caller's mistakes


def test_a_value_error_is_for_the_caller(root: Path) -> None:
    pipeline = put(
        root, before("raise ValueError('an image is at least 8 pixels wide')") + after("len(0)")
    )

    with pytest.raises(InvalidInput, match=r"^an image is at least 8 pixels wide$"):
        pipeline.before({"x": floats((1, 2))})


def test_a_value_error_after_the_run_is_for_the_caller_too(root: Path) -> None:
    pipeline = put(root, after("raise ValueError('there is no face in it')"))

    with pytest.raises(InvalidInput, match=r"^there is no face in it$"):
        pipeline.after({"y": floats((1, 2))})


def test_a_value_error_without_words_says_something(root: Path) -> None:
    with pytest.raises(InvalidInput, match="the model cannot take this"):
        put(root, before("raise ValueError")).before({"x": floats((1, 2))})


def test_what_does_not_fit_the_declaration_never_reaches_the_function(root: Path) -> None:
    pipeline = put(root, COUNT + JUDGE, LENGTHS)

    with pytest.raises(InvalidInput, match="input 'words' is missing"):
        pipeline.before({})
    with pytest.raises(InvalidInput, match=r"'words': expected shape \[-1, -1\], got \[1\]"):
        pipeline.before({"words": np.array([b"a"], object)})
    with pytest.raises(InvalidInput, match="'words': expected bytes, got float32"):
        pipeline.before({"words": floats((1, 2))})


# --- the pipeline's mistakes

BLAMED = "^the pipeline of model 'm' failed; the server's log says why$"


@pytest.mark.parametrize(
    "body", ["1 / 0", "inputs['secret']", "import sys; sys.exit(3)", "raise MemoryError('secret')"]
)
def test_any_other_exception_is_told_to_the_log_and_not_to_the_caller(
    root: Path, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = put(root, before(body) + after(body.replace("inputs", "outputs")))

    with pytest.raises(PipelineFailed, match=BLAMED):
        pipeline.before({"x": floats((1, 2))})
    with pytest.raises(PipelineFailed, match=BLAMED):
        pipeline.after({"y": floats((1, 2))})

    assert [record.getMessage() for record in caplog.records] == [
        "model 'm': before failed",
        "model 'm': after failed",
    ]
    assert all(record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("None", "expected a dictionary with ['x'], got NoneType"),
        ("[inputs]", "expected a dictionary with ['x'], got list"),
        ("{}", "expected tensors named ['x'], got []"),
        ("{'X': 1}", "expected tensors named ['x'], got ['X']; names of your own are declared in"),
        ("{'x': 1, 'y': 2}", "expected tensors named ['x'], got ['x', 'y']"),
        ("{'x': [1, 2]}", "'x' should have shape [-1, 2], not [2]"),
        ("{'x': [[1, 2, 3]]}", "'x' should have shape [-1, 2], not [1, 3]"),
        ("{'x': [[1], [2, 3]]}", "inhomogeneous shape"),
        ("{'x': [['a', 'b']]}", "'x' should be float32, not str"),
        ("{'x': [[1j, 2]]}", "'x' should be float32, not complex128"),
        ("{'x': [[None, 2]]}", "'x' should be float32, not object"),
    ],
)
def test_what_before_gives_is_checked_and_the_pipeline_blamed(
    root: Path, value: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(PipelineFailed, match=BLAMED):
        put(root, before(f"return {value}")).before({"x": floats((1, 2))})

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("model 'm': what before gave is wrong: ")
    assert said in record.getMessage()


@pytest.mark.parametrize(
    ("datatype", "value", "said"),
    [
        ("INT8", "[300]", "'z' holds numbers that do not fit int8"),
        ("UINT8", "[-1]", "'z' should be uint8, not int64"),
        ("INT64", "[1.5]", "'z' should be int64, not float64"),
        ("INT64", "['1']", "'z' should be int64, not str"),
        ("BOOL", "[2]", "'z' should be bool, not int64"),
        ("BYTES", "[5]", "5 is not a text"),
        ("BYTES", "['a', ['b']]", "['b'] is not a text"),
        ("FP32", "1.0", "'z' should have shape [-1], not []"),
    ],
)
def test_what_after_gives_is_checked_and_the_pipeline_blamed(
    root: Path, datatype: str, value: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    outputs = f'[[outputs]]\nname = "z"\ndatatype = "{datatype}"\nshape = [-1]'
    pipeline = put(root, after(f"return {{'z': {value}}}"), outputs)

    with pytest.raises(PipelineFailed, match=BLAMED):
        pipeline.after({"y": floats((1, 2))})

    (record,) = caplog.records
    assert record.getMessage().startswith("model 'm': what after gave is wrong: ")
    assert said in record.getMessage()


def test_rows_of_several_inputs_that_differ_are_the_pipelines_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shape: list[str | int | None] = ["batch"]
    write(
        tmp_path / "m" / "1" / "model.onnx",
        [("Add", ["a", "b"], ["y"])],
        [("a", TensorProto.FLOAT, shape), ("b", TensorProto.FLOAT, shape)],
        [("y", TensorProto.FLOAT, shape)],
    )
    pipeline = put(tmp_path, before("return {'a': inputs['a'][:1], 'b': inputs['b']}"))
    two = np.ones(2, np.float32)

    with pytest.raises(PipelineFailed):
        pipeline.before({"a": two, "b": two})

    assert "input 'b' has 2 rows, but input 'a' has 1" in caplog.text


def test_one_failure_disturbs_no_other_request(root: Path) -> None:
    pipeline = put(root, before("return {'x': inputs['x'] + int(inputs['x'][0, 0])}"))
    outcomes: dict[int, object] = {}

    def ask(number: int) -> None:
        value = np.nan if number % 2 else number  # int(nan) is a ValueError
        try:
            outcomes[number] = pipeline.before({"x": floats((value, 0))}).tensors["x"].tolist()
        except InvalidInput as error:
            outcomes[number] = str(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number, outcome in outcomes.items():
        wrong = "cannot convert float NaN to integer"
        assert outcome == (wrong if number % 2 else [[2 * number, number]])


# --- files that cannot be used


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def before(inputs)\n    pass", "cannot be imported: SyntaxError: "),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'."),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero."),
        ("raise SystemExit", "cannot be imported: SystemExit: no reason given."),
        ("import sys; sys.exit('stop')", "cannot be imported: SystemExit: stop."),
        ("", "has neither a function before nor a function after."),
        ("def Before(inputs): ...", "has neither a function before nor a function after."),
        ("before = 5", "before must be a plain function."),
        ("async def after(outputs): ...", "after must be a plain function."),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    root: Path, code: str, said: str
) -> None:
    modules = set(sys.modules)

    refused = refusal(root, code)

    assert refused.startswith(str(root / "m" / "pipeline.py"))
    assert said in refused
    assert refused.endswith(".")
    assert "\n" not in refused
    if "imported" in said:
        assert set(sys.modules) == modules


def test_a_file_that_is_no_text_is_refused(root: Path) -> None:
    (root / "m" / "pipeline.py").write_bytes(b"\xff\x00")
    (source,) = find_models([root])

    with pytest.raises(BadModel, match="cannot be imported: "):
        find_pipeline(source, OnnxRuntime(source.path, threads=1))


@pytest.mark.parametrize(
    ("code", "key", "function"),
    [
        (before("return inputs"), "outputs", "after"),
        (after("return outputs"), "inputs", "before"),
    ],
)
def test_tensors_that_no_function_would_make_are_refused(
    root: Path, code: str, key: str, function: str
) -> None:
    settings = f'[[{key}]]\nname = "z"\ndatatype = "FP32"\nshape = [-1]'

    assert refusal(root, code, settings).endswith(
        f"model.toml has [[{key}]], but pipeline.py has no function {function} for them."
    )

"""Texts become vectors that do not depend on who rides along."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto

from batching.tensors import batched
from models.errors import BadModel, InvalidInput
from models.onnx_runtime import OnnxRuntime
from models.pipeline import Pipeline, find_pipeline
from models.repository import find_models
from models.runtime import Runtime
from models.signature import Tensors
from tests.support.onnx_models import write
from tests.support.text_models import VECTORS, WIDTH, WORDS, encoder, token, tokenizer

Vectors = NDArray[np.float32]


def texts(*given: str | bytes) -> Tensors:
    encoded = [text.encode() if isinstance(text, str) else text for text in given]
    values = np.empty(len(encoded), object)
    values[:] = encoded
    return {"text": values}


def found(root: Path) -> tuple[Runtime, Pipeline]:
    """The only model of a repository, and its pipeline."""
    (source,) = find_models([root])
    runtime, pipeline = find_pipeline(source, OnnxRuntime(source.path, threads=1))
    assert pipeline is not None
    return runtime, pipeline


def vectors(model: tuple[Runtime, Pipeline], *given: str) -> Vectors:
    """The vectors of one request."""
    runtime, pipeline = model
    outputs = runtime.run(pipeline.before(texts(*given)).tensors)
    return np.asarray(pipeline.after(outputs)["embedding"])


def in_one_batch(
    model: tuple[Runtime, Pipeline], requests: Sequence[Sequence[str]]
) -> list[Vectors]:
    """The vectors of several requests that are run together."""
    runtime, pipeline = model
    padding = {spec.name: spec.pad for spec in runtime.signature.inputs if spec.pad is not None}
    run: Any = batched(runtime.run, max_rows=64, padding=padding)
    replies = run([pipeline.before(texts(*request)).tensors for request in requests])
    return [np.asarray(pipeline.after(reply)["embedding"]) for reply in replies]


def unit(vector: Vectors) -> Vectors:
    return np.asarray(vector / np.linalg.norm(vector))


def expected(*words: str) -> Vectors:
    """The normalized mean of the words' vectors, special tokens included."""
    tokens = [token("[CLS]"), *map(token, words), token("[SEP]")]
    return unit(VECTORS[tokens].mean(axis=0))


def put(root: Path, *, settings: str = "", special: bool = True, **model: Any) -> Path:
    encoder(root / "m" / "1" / "model.onnx", **model)
    tokenizer(root / "m" / "tokenizer.json", special=special)
    (root / "m" / "model.toml").write_text(settings)
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runtime, Pipeline]:
    return found(put(tmp_path_factory.mktemp("models")))


def refusal(root: Path) -> str:
    with pytest.raises(BadModel) as refused:
        found(root)
    return str(refused.value)


# --- what callers see


def test_a_model_with_a_tokenizer_takes_texts_and_gives_vectors(
    model: tuple[Runtime, Pipeline],
) -> None:
    signature = model[1].signature

    assert list(map(str, signature.inputs)) == ["text: bytes [batch]"]
    assert list(map(str, signature.outputs)) == [f"embedding: float32 [batch, {WIDTH}]"]
    assert signature.batched


def test_a_vector_is_the_normalized_mean_of_the_tokens(model: tuple[Runtime, Pipeline]) -> None:
    given = vectors(model, "the red bus waits", "late")

    assert given.dtype == np.float32
    assert given[0] == pytest.approx(expected("the", "red", "bus", "waits"), abs=1e-6)
    assert given[1] == pytest.approx(expected("late"), abs=1e-6)


SENTENCES = st.lists(st.sampled_from((*WORDS, "unknown")), max_size=30).map(" ".join)
REQUESTS = st.lists(st.lists(SENTENCES, min_size=1, max_size=4), min_size=1, max_size=6)


@given(REQUESTS)
def test_a_text_has_the_same_vector_alone_and_in_any_company(
    model: tuple[Runtime, Pipeline], requests: list[list[str]]
) -> None:
    together = in_one_batch(model, requests)

    for request, answer in zip(requests, together, strict=True):
        alone = np.concatenate([vectors(model, text) for text in request])
        assert answer == pytest.approx(alone, abs=1e-6)


def test_an_empty_text_has_the_vector_of_the_special_tokens(
    model: tuple[Runtime, Pipeline],
) -> None:
    assert vectors(model, "")[0] == pytest.approx(expected(), abs=1e-6)


def test_an_empty_text_without_special_tokens_is_zeros_and_no_nan(tmp_path: Path) -> None:
    model = found(put(tmp_path, special=False))

    assert vectors(model, "").tolist() == [[0] * WIDTH]
    assert vectors(model, "", "bus")[0].tolist() == [0] * WIDTH


def test_a_request_without_texts_has_no_vectors(model: tuple[Runtime, Pipeline]) -> None:
    assert vectors(model).shape == (0, WIDTH)


def test_many_texts_of_one_request_keep_their_order(model: tuple[Runtime, Pipeline]) -> None:
    given = vectors(model, *WORDS * 40)

    assert given == pytest.approx(np.stack([expected(word) for word in WORDS * 40]), abs=1e-6)


# --- what goes into the queue


def test_tokens_are_padded_to_the_longest_text_of_the_request(
    model: tuple[Runtime, Pipeline],
) -> None:
    prepared = model[1].before(texts("bus", "the red bus"))

    assert prepared.length == 5
    assert prepared.lengths == [3, 5]
    cls, sep = token("[CLS]"), token("[SEP]")
    assert prepared.tensors["input_ids"].tolist() == [
        [cls, token("bus"), sep, 0, 0],
        [cls, token("the"), token("red"), token("bus"), sep],
    ]
    assert prepared.tensors["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]


def test_requests_of_any_length_may_share_a_batch(model: tuple[Runtime, Pipeline]) -> None:
    runtime, pipeline = model
    check = runtime.signature.check

    short = check(pipeline.before(texts("bus")).tensors)
    long = check(pipeline.before(texts("the red bus", "waits")).tensors)

    assert (short.rows, long.rows) == (1, 2)
    assert short.key == long.key


def test_the_padding_of_a_tokenizers_own_is_not_used_but_its_token_is(tmp_path: Path) -> None:
    root = put(tmp_path)
    tokenizer(root / "m" / "tokenizer.json", padding=True)
    runtime, pipeline = found(root)

    assert pipeline.before(texts("bus")).length == 3
    assert {spec.name: spec.pad for spec in runtime.signature.inputs} == {
        "input_ids": token("[PAD]"),
        "attention_mask": 0,
    }


def test_a_model_gets_the_inputs_that_it_has_in_the_types_that_it_has(tmp_path: Path) -> None:
    inputs = ("input_ids", "token_type_ids", "attention_mask")
    runtime, pipeline = found(put(tmp_path, inputs=inputs, dtype=TensorProto.INT32))

    tensors = pipeline.before(texts("red bus")).tensors

    assert set(tensors) == set(inputs)
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.int32)}
    assert tensors["token_type_ids"].tolist() == [[0] * 4]
    assert vectors((runtime, pipeline), "red bus")[0] == pytest.approx(expected("red", "bus"))


def test_a_model_of_one_length_only_is_always_padded_to_it(tmp_path: Path) -> None:
    model = found(put(tmp_path, shape=("batch", 6)))

    assert [model[1].before(texts(text)).length for text in ("", "the red bus", "bus " * 9)] == [
        6
    ] * 3
    assert vectors(model, "red bus")[0] == pytest.approx(expected("red", "bus"), abs=1e-6)


def test_a_model_of_one_row_only_is_served_one_text_at_a_time(tmp_path: Path) -> None:
    model = found(put(tmp_path, shape=(1, "sequence")))

    assert vectors(model, "bus")[0] == pytest.approx(expected("bus"), abs=1e-6)
    assert not model[1].signature.batched
    with pytest.raises(InvalidInput, match=r"'text': expected shape \[1\], got \[2\]"):
        model[1].before(texts("bus", "car"))


def test_the_library_starts_no_threads_of_its_own(model: tuple[Runtime, Pipeline]) -> None:
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


# --- every setting has an effect


def test_what_is_longer_than_max_length_is_cut(
    tmp_path: Path, model: tuple[Runtime, Pipeline]
) -> None:
    short = found(put(tmp_path, settings="text.max_length = 5"))

    assert short[1].before(texts("the red bus waits")).length == 5
    assert vectors(short, "the red bus waits")[0] == pytest.approx(
        expected("the", "red", "bus"), abs=1e-6
    )
    assert model[1].before(texts("bus " * 1000)).length == 256


def test_pooling_cls_takes_the_first_token(tmp_path: Path) -> None:
    model = found(put(tmp_path, special=False, settings='text.pooling = "cls"'))

    assert vectors(model, "late bus")[0] == pytest.approx(unit(VECTORS[token("late")]), abs=1e-6)


def test_pooling_none_takes_the_vectors_that_the_model_gives(tmp_path: Path) -> None:
    model = found(put(tmp_path, special=False, settings='text.pooling = "none"'))

    assert vectors(model, "bus")[0] == pytest.approx(unit(VECTORS[token("bus")]), abs=1e-6)


def test_an_output_may_be_named(tmp_path: Path) -> None:
    named = put(tmp_path, settings='text = { pooling = "none", output = "first" }')

    assert vectors(found(named), "bus").shape == (1, WIDTH)
    (named / "m" / "model.toml").write_text('text.output = "first"')
    assert 'output first: float32 [batch, 3] is not what pooling = "mean" takes' in refusal(named)
    (named / "m" / "model.toml").write_text('text.output = "last"')
    assert "has no output 'last' as model.toml's [text] wants" in refusal(named)


def test_without_normalize_vectors_are_as_long_as_the_model_makes_them(tmp_path: Path) -> None:
    model = found(put(tmp_path, special=False, settings="text.normalize = false"))

    mean = VECTORS[[token("red"), token("bus")]].mean(axis=0)
    assert vectors(model, "red bus")[0] == pytest.approx(mean, abs=1e-6)


def test_the_versions_own_tokenizer_comes_before_the_models(tmp_path: Path) -> None:
    root = put(tmp_path)
    tokenizer(root / "m" / "1" / "tokenizer.json", special=False)

    assert found(root)[1].before(texts("red bus")).length == 2


# --- abuse


@pytest.mark.parametrize("wrong", [b"\xff", b"caf\xe9", b"\xed\xa0\x80", b"\x80abc"])
def test_bytes_that_are_not_utf_8_are_refused_with_their_row(
    model: tuple[Runtime, Pipeline], wrong: bytes
) -> None:
    with pytest.raises(InvalidInput, match="input 'text': row 1 is not UTF-8"):
        model[1].before(texts("bus", wrong))


@pytest.mark.parametrize("odd", ["\0", "a\0b", "\U0001f68c", "\u202e", "\n\t\r", "e\u0301" * 400])
def test_odd_texts_have_vectors_too(model: tuple[Runtime, Pipeline], odd: str) -> None:
    assert np.isfinite(vectors(model, odd)).all()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "input 'text' is missing"),
        ({"texts": np.array([b"a"], object)}, "unexpected input 'texts'"),
        ({"text": np.array([1])}, "expected bytes, got int64"),
        ({"text": np.array([[b"a"]], object)}, r"expected shape \[-1\], got \[1, 1\]"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(
    model: tuple[Runtime, Pipeline], inputs: Tensors, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        model[1].before(inputs)


HINT = "What else a model needs, a pipeline.py can make."


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (("input_ids",), "has a tokenizer, but no input 'attention_mask' for what it gives."),
        (
            ("input_ids", "attention_mask", "position_ids"),
            "a tokenizer gives nothing for input position_ids: int64 [batch, sequence].",
        ),
    ],
)
def test_a_model_that_takes_more_or_less_than_tokens_is_refused(
    tmp_path: Path, inputs: tuple[str, ...], said: str
) -> None:
    assert refusal(put(tmp_path, inputs=inputs)).endswith(f"{said} {HINT}")


def replace_model(root: Path, operator: str, dtype: int) -> None:
    """y = operator(input_ids, attention_mask), all [batch, sequence]."""
    names = ["input_ids", "attention_mask"]
    write(
        root / "m" / "1" / "model.onnx",
        [(operator, names, ["y"])],
        [(name, dtype, ["batch", "sequence"]) for name in names],
        [("y", dtype, ["batch", "sequence"])],
    )


def test_a_model_that_takes_no_numbers_is_refused(tmp_path: Path) -> None:
    root = put(tmp_path)
    replace_model(root, "And", TensorProto.BOOL)

    assert refusal(root).endswith(
        f"input input_ids: bool [batch, sequence] should be numbers [batch, tokens]. {HINT}"
    )


def test_a_number_for_each_token_is_no_vector(tmp_path: Path) -> None:
    root = put(tmp_path, settings='text.pooling = "none"')
    replace_model(root, "Mul", TensorProto.FLOAT)

    assert refusal(root).endswith(
        "output y: float32 [batch, sequence] has a number a token, and no vector."
    )


@pytest.mark.parametrize("content", ["", "{}", "not JSON", '{"model": 5}'])
def test_a_tokenizer_that_cannot_be_read_is_refused(tmp_path: Path, content: str) -> None:
    root = put(tmp_path)
    (root / "m" / "tokenizer.json").write_text(content)

    assert "tokenizer.json cannot be read by tokenizers: " in refusal(root)


def test_without_the_library_the_refusal_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)

    assert refusal(put(tmp_path)).endswith(
        "tokenizer.json needs the tokenizers package: pip install 'jitney[text]'."
    )


def test_a_max_length_without_room_for_a_text_is_refused(tmp_path: Path) -> None:
    root = put(tmp_path, settings="text.max_length = 2")

    assert "adds 2 special tokens to every text, so 2 leaves no room for it" in refusal(root)


def test_settings_for_text_without_a_tokenizer_are_refused(tmp_path: Path) -> None:
    root = put(tmp_path, settings="[text]")
    (root / "m" / "tokenizer.json").unlink()

    assert refusal(root).endswith("model.toml has [text], but there is no tokenizer.json.")


def test_a_tokenizer_that_leads_out_of_the_repository_is_refused(tmp_path: Path) -> None:
    root = put(tmp_path / "root")
    outside = tokenizer(tmp_path / "outside.json")
    (root / "m" / "tokenizer.json").unlink()
    (root / "m" / "tokenizer.json").symlink_to(outside)

    assert "leads out of" in refusal(root)

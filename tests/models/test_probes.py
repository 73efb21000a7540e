"""What is made up to try a model with fits it, varies, and is the same at every start."""

import numpy as np
import pytest

from models.probes import (
    BOUNDS,
    MAX_BYTES,
    SIZES,
    all_alike,
    attempts,
    batch,
    most_rows,
    sentence,
    together,
)
from models.signature import DATATYPES, Signature, Tensors, TensorSpec


def signature(*specs: TensorSpec, batched: bool = True) -> Signature:
    return Signature(specs, (), batched=batched)


def spec(name: str, dtype: str, *shape: int | str | None, pad: int | None = None) -> TensorSpec:
    return TensorSpec(name, DATATYPES[dtype], ("batch", *shape), pad)


@pytest.mark.parametrize("dtype", DATATYPES)
def test_every_type_is_made_up_and_varies(dtype: str) -> None:
    accepts = signature(spec("x", dtype, 8))

    rows = next(attempts(accepts))

    assert len(rows) == 16
    assert all(accepts.check(row).rows == 1 for row in rows)
    assert not all_alike(rows)


def test_it_is_the_same_at_every_start() -> None:
    accepts = signature(spec("x", "FP32", 3), spec("i", "INT64"))

    for one, other in zip(next(attempts(accepts)), next(attempts(accepts)), strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_integers_become_smaller_and_moving_axes_shorter() -> None:
    tried = list(attempts(signature(spec("ids", "INT64", "length"))))

    assert [rows[0]["ids"].shape[1] for rows in tried] == [size for size in SIZES for _ in BOUNDS]
    for rows, bound in zip(tried, BOUNDS * 2, strict=True):
        values = np.concatenate([row["ids"] for row in rows])
        assert 0 <= values.min() <= values.max() < bound


def test_a_mask_is_of_ones_and_there_are_two_token_types() -> None:
    names = ("input_ids", "attention_mask", "token_type_ids")

    row = next(attempts(signature(*(spec(name, "INT64", "length") for name in names))))[0]

    assert row["input_ids"].max() > 1
    assert set(row["attention_mask"].flat) == {1}
    assert set(row["token_type_ids"].flat) <= {0, 1}


def test_axes_of_one_name_are_equally_long() -> None:
    accepts = signature(spec("a", "FP32", "n"), spec("b", "FP32", "n", 2))

    for rows in attempts(accepts):
        accepts.check(rows[0])


def test_what_would_be_huge_is_made_small() -> None:
    rows = next(attempts(signature(spec("x", "FP32", None, None, None, None, None, None))))

    assert rows[0]["x"].size == 1


def test_a_model_without_batches_gets_its_own_shape() -> None:
    fixed = Signature((TensorSpec("x", DATATYPES["FP32"], (4, None)),), (), batched=False)

    row = next(attempts(fixed, count=1))[0]

    assert row["x"].shape == (4, 16)
    assert batch([row], fixed, 1, 0) is row


# --- near an example


def example(**tensors: object) -> Tensors:
    return {name: np.asarray(values) for name, values in tensors.items()}


def test_an_example_is_first_and_the_others_are_near() -> None:
    given = example(x=np.array([[10.0, 20.0]], np.float32), i=np.array([[7, 300]]))
    accepts = signature(spec("x", "FP32", 2), spec("i", "INT64", 2))

    first, second = attempts(accepts, given)

    assert first[0] is given
    assert not all_alike(first)
    for row in first:
        assert np.all((row["i"] >= 0) & (row["i"] <= given["i"]))
    assert all(np.array_equal(row["i"], given["i"]) for row in second)


# --- batches


def test_rows_are_padded_to_the_longest_together() -> None:
    accepts = signature(spec("ids", "INT64", "n", pad=9), spec("flag", "INT64", 1))
    rows = [
        {"ids": np.array([[1, 2]]), "flag": np.array([[5]])},
        {"ids": np.array([[3]]), "flag": np.array([[6]])},
    ]

    joined = together(rows, accepts)

    assert joined["ids"].tolist() == [[1, 2], [3, 9]]
    assert joined["flag"].tolist() == [[5], [6]]


@pytest.mark.parametrize("length", [1, 3, 7])
def test_a_batch_is_as_long_and_as_large_as_asked(length: int) -> None:
    accepts = signature(spec("ids", "INT64", "n", pad=0))
    rows = [{"ids": np.array([[1]])}, {"ids": np.array([[3, 4, 5]])}]

    made = batch(rows, accepts, 5, length)["ids"]

    assert made.shape == (5, length)
    assert set(made.flat) <= {3, 4, 5}


def test_a_batch_of_one_shape_repeats_the_rows() -> None:
    accepts = signature(spec("x", "INT64", 1))

    made = batch([{"x": np.array([[1]])}, {"x": np.array([[2]])}], accepts, 3, 0)

    assert made["x"].tolist() == [[1], [2], [1]]


def test_batches_are_made_up_only_as_large_as_memory_is_for_it() -> None:
    assert most_rows({"x": np.zeros((1, 1024), np.float32)}) == MAX_BYTES // 4096
    assert most_rows({"x": np.zeros((1, MAX_BYTES), np.float64)}) == 1


def test_sentences_have_as_many_words_as_asked_and_differ() -> None:
    assert [len(sentence(words).split()) for words in (1, 5, 100)] == [1, 5, 100]
    assert not sentence(9).startswith(sentence(4))

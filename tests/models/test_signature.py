"""Which tensors fit a model, how many rows they are and whom they may ride with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidInput
from models.signature import Array, Dim, Signature, TensorSpec, row_of, sample

F32, I64, TEXT = np.dtype(np.float32), np.dtype(np.int64), np.dtype(object)


def spec(name: str, *shape: Dim, dtype: np.dtype[np.generic] = F32) -> TensorSpec:
    return TensorSpec(name, dtype, shape)


def takes(*inputs: TensorSpec, batched: bool = True) -> Signature:
    return Signature(inputs, (spec("y", "batch", 2),), batched)


def zeros(*shape: int, dtype: np.dtype[np.generic] = F32) -> Array:
    return np.zeros(shape, dtype)


# --- rows, and who may share a batch


def test_the_first_axis_counts_the_rows() -> None:
    signature = takes(spec("a", "batch", 4), spec("b", "batch", dtype=I64))

    checked = signature.check({"b": zeros(3, dtype=I64), "a": zeros(3, 4)})

    assert checked.rows == 3


def test_requests_of_a_model_with_fixed_shapes_may_all_share_a_batch() -> None:
    signature = takes(spec("a", "batch", 4))

    assert signature.check({"a": zeros(1, 4)}).key is None
    assert signature.check({"a": zeros(7, 4)}).key is None


def test_only_requests_of_equal_lengths_may_share_a_batch() -> None:
    signature = takes(spec("a", "batch", "length"), spec("b", None, None, 2))

    def key(length: int, other: int, rows: int = 1) -> object:
        return signature.check({"a": zeros(rows, length), "b": zeros(rows, other, 2)}).key

    assert key(5, 3) == key(5, 3, rows=4)
    assert len({key(5, 3), key(3, 5), key(5, 5), key(5, 4)}) == 4


def test_requests_may_differ_in_length_along_an_axis_that_is_padded() -> None:
    ids = TensorSpec("ids", I64, ("batch", "length", "other"), pad=0)
    signature = takes(ids)

    def key(length: int, other: int) -> object:
        return signature.check({"ids": zeros(1, length, other, dtype=I64)}).key

    assert key(5, 3) == key(9, 3)
    assert key(5, 3) != key(5, 4)  # only the first after the rows is padded
    assert takes(spec("a", "batch"), TensorSpec("b", I64, (None, None), pad=-1.0)).check(
        {"a": zeros(2), "b": zeros(2, 7, dtype=I64)}
    ) == (2, None)


def test_inputs_that_are_padded_are_equally_long_within_a_request() -> None:
    ids = TensorSpec("ids", I64, ("batch", "length"), pad=0)
    mask = TensorSpec("mask", I64, ("batch", "length"), pad=0)

    said = refusal(takes(ids, mask), ids=zeros(1, 5, dtype=I64), mask=zeros(1, 4, dtype=I64))

    assert said == "input 'mask': axis 1 ('length') is 4, but 5 in input 'ids'"


def test_no_rows_at_all_are_accepted_as_such() -> None:
    assert takes(spec("a", "batch", 4)).check({"a": zeros(0, 4)}).rows == 0


def test_a_model_that_is_not_batched_takes_one_row_whatever_its_first_axis() -> None:
    signature = takes(spec("a", 3, 2), spec("n"), spec("m", "any"), batched=False)

    assert signature.check({"a": zeros(3, 2), "n": zeros(), "m": zeros(9)}).rows == 1


@pytest.mark.parametrize(
    ("inputs", "outputs", "may"),
    [
        ([("batch", 4)], [("batch",)], True),
        ([(None, 4)], [(None, 2)], True),
        ([("unk__1", 4), ("unk__2", 4)], [("unk__3", 2)], True),
        ([(1, 4)], [(1, 2)], False),
        ([("batch", 4)], [(1, 2)], False),
        ([("batch", 4), ()], [("batch",)], False),
        ([("batch", 4)], [()], False),
        ([], [("batch",)], False),
    ],
)
def test_shapes_allow_batching_where_every_first_axis_may_have_any_size(
    inputs: list[tuple[Dim, ...]], outputs: list[tuple[Dim, ...]], may: bool
) -> None:
    signature = Signature(
        tuple(spec(f"x{i}", *shape) for i, shape in enumerate(inputs)),
        tuple(spec(f"y{i}", *shape) for i, shape in enumerate(outputs)),
    )

    assert signature.may_batch is may


def test_rows_that_are_columns_too_cannot_be_batched_with_a_strangers() -> None:
    texts, images = spec("texts", "text", 8), spec("images", "image", 3)
    similarity = spec("similarity", "image", "text")

    assert not Signature((texts, images), (similarity,)).may_batch
    assert not Signature((texts,), (spec("y", "text", "text"),)).may_batch
    assert Signature((texts,), (spec("y", None, None),)).may_batch


# --- what does not fit is named


def refusal(signature: Signature, **tensors: Array) -> str:
    with pytest.raises(InvalidInput) as refused:
        signature.check(tensors)
    return str(refused.value)


TWO = takes(spec("ids", "batch", "length", dtype=I64), spec("mask", "batch", "length", dtype=I64))


def test_a_symbol_has_one_size_in_all_inputs() -> None:
    ids, mask = zeros(1, 5, dtype=I64), zeros(1, 4, dtype=I64)

    said = refusal(TWO, ids=ids, mask=mask)

    assert said == "input 'mask': axis 1 ('length') is 4, but 5 in input 'ids'"


def test_a_symbol_has_one_size_within_an_input() -> None:
    square = takes(spec("a", "batch", "n", "n"))

    assert square.check({"a": zeros(1, 3, 3)}).rows == 1
    assert refusal(square, a=zeros(1, 3, 4)) == ("input 'a': axis 2 ('n') is 4, but 3 in input 'a'")


def test_axes_without_a_symbol_have_sizes_of_their_own() -> None:
    signature = takes(spec("a", "batch", None), spec("b", "batch", None))

    assert signature.check({"a": zeros(2, 3), "b": zeros(2, 9)}).rows == 2


def test_the_first_axis_is_a_symbol_like_any_other_where_it_is_no_batch_axis() -> None:
    signature = takes(spec("a", "n"), spec("b", "n"), batched=False)

    assert refusal(signature, a=zeros(2), b=zeros(3)) == (
        "input 'b': axis 0 ('n') is 3, but 2 in input 'a'"
    )


def test_inputs_of_different_rows_are_refused() -> None:
    said = refusal(TWO, ids=zeros(2, 5, dtype=I64), mask=zeros(3, 5, dtype=I64))

    assert said == "input 'mask' has 3 rows, but input 'ids' has 2"


def test_a_wrong_type_says_what_was_expected_and_what_came() -> None:
    texts = takes(spec("t", "batch", dtype=TEXT))

    assert refusal(takes(spec("a", "batch")), a=zeros(1, dtype=I64)) == (
        "input 'a': expected float32, got int64"
    )
    assert refusal(texts, t=zeros(1)) == "input 't': expected bytes, got float32"
    assert refusal(takes(spec("a", "batch")), a=zeros(1, dtype=TEXT)).endswith("got bytes")


@pytest.mark.parametrize("shape", [(), (2,), (2, 4), (2, 9, 5), (2, 9, 4, 1)])
def test_a_wrong_shape_says_what_was_expected_and_what_came(shape: tuple[int, ...]) -> None:
    signature = takes(spec("a", "batch", "n", 4))

    assert refusal(signature, a=zeros(*shape)) == (
        f"input 'a': expected shape [-1, -1, 4], got {list(shape)}"
    )


def test_a_fixed_first_axis_is_checked_where_there_is_no_batch() -> None:
    fixed = takes(spec("a", 3), batched=False)

    assert refusal(fixed, a=zeros(4)) == "input 'a': expected shape [3], got [4]"


def test_missing_and_unknown_inputs_are_named_and_the_right_ones_listed() -> None:
    ids = zeros(1, 5, dtype=I64)
    wanted = "the model's inputs are ['ids', 'mask']"

    assert refusal(TWO, ids=ids) == f"input 'mask' is missing: {wanted}"
    assert refusal(TWO) == f"input 'ids' is missing: {wanted}"
    assert refusal(TWO, ids=ids, masc=ids) == f"unexpected input 'masc': {wanted}"
    assert refusal(TWO, ids=ids, mask=ids, x=ids) == f"unexpected input 'x': {wanted}"


def test_a_tensor_is_shown_as_a_person_would_write_it() -> None:
    assert str(spec("a", "batch", None, 3)) == "a: float32 [batch, ?, 3]"
    assert str(spec("t", dtype=TEXT)) == "t: bytes []"


# --- samples


def test_a_sample_repeats_the_example_in_each_row() -> None:
    signature = takes(spec("a", "batch", 2, 2), spec("t", "batch", dtype=TEXT))

    tensors = sample(signature, 2, {"a": [1, 2, 3, 4], "t": "é"})

    assert tensors["a"].tolist() == [[[1, 2], [3, 4]]] * 2
    assert tensors["t"].tolist() == ["é".encode()] * 2


def test_an_input_without_example_is_as_long_as_the_example_of_another_makes_it() -> None:
    tensors = sample(TWO, 2, {"ids": [7, 8, 9]})

    assert tensors["mask"].tolist() == [[1, 1, 1]] * 2


def test_examples_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'length'"):
        sample(TWO, 1, {"ids": [7, 8, 9], "mask": [1]})


@pytest.mark.parametrize(
    ("tail", "values", "shape"),
    [
        ((-1, 2), [1, 2, 3, 4], (2, 2)),
        ((3, -1), [1, 2, 3], (3, 1)),
        ((-1, -1), [1, 2, 3, 4], (4, 1)),
        ((-1, -1), [[1, 2], [3, 4]], (2, 2)),
        ((2, 2), [[1, 2], [3, 4]], (2, 2)),
        ((-1,), [], (0,)),
        ((), 5, ()),
    ],
)
def test_one_moving_axis_takes_what_the_example_has(
    tail: tuple[int, ...], values: object, shape: tuple[int, ...]
) -> None:
    row = row_of(spec("a"), values, tail)

    assert row.shape == shape
    assert row.ravel().tolist() == np.ravel(values).tolist()  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [1, 2, 3]),
        ("float32", ["1", "2"]),
        ("float32", [1, [2, 3]]),
        ("float32", {"a": 1}),
        ("float32", [1e300, 0]),
        ("int64", [1.5, 2]),
        ("int64", [float("nan"), 0]),
        ("uint8", [256, 0]),
        ("uint8", [-1, 0]),
        ("bool", [2, 0]),
        ("bool", ["no", "yes"]),
        ("object", [1, 2]),
        ("object", ["a", ["b"]]),
    ],
)
def test_an_example_that_does_not_fit_is_refused_by_name(dtype: str, values: object) -> None:
    with pytest.raises(InvalidInput, match="the example for 'a' does not fit"):
        row_of(spec("a", dtype=np.dtype(dtype)), values, (2,))


DIMS = st.one_of(st.integers(0, 3), st.sampled_from(["n", "m", None]))
SPECS = st.tuples(st.lists(DIMS, max_size=3), st.sampled_from([F32, I64, TEXT, np.dtype(bool)]))


@given(st.lists(SPECS, min_size=1, max_size=4), st.booleans(), st.integers(0, 5))
def test_whatever_is_sampled_is_accepted_with_the_same_rows(
    inputs: list[tuple[list[Dim], np.dtype[np.generic]]], batched: bool, rows: int
) -> None:
    specs = [
        spec(f"x{i}", *(["batch", *tail] if batched else tail), dtype=dtype)
        for i, (tail, dtype) in enumerate(inputs)
    ]
    signature = takes(*specs, batched=batched)

    tensors = sample(signature, rows)

    assert signature.check(tensors).rows == (rows if batched else 1)
    assert all(tensor.flags.c_contiguous for tensor in tensors.values())

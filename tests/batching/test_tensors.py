"""Stacking and splitting: every payload gets its own rows, and memory stays bounded."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.errors import RunFailed
from batching.tensors import (
    MAX_BUFFERS,
    MAX_BYTES,
    Array,
    Stacker,
    Tensors,
    WrongRows,
    apart,
    batched,
    divide,
    rejoin,
    rows_of,
    split,
)


def numbered(*rows: int, width: int = 2, first: int = 0) -> list[Tensors]:
    """Payloads of so many rows, in which no two numbers are the same."""
    total = sum(rows)
    values = np.arange(first, first + total * width, dtype=np.float32).reshape(total, width)
    ends = np.cumsum(rows)
    return [{"x": values[end - count : end]} for count, end in zip(rows, ends, strict=True)]


def lists(payloads: Sequence[Tensors]) -> list[dict[str, object]]:
    return [{name: values.tolist() for name, values in payload.items()} for payload in payloads]


@st.composite
def payloads(draw: st.DrawFn) -> list[Tensors]:
    """Some payloads with the same names, types and tails, and rows of their own."""
    names = draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True))
    kinds = st.sampled_from(["float32", "int64", "bool", "float16", "object"])
    tails = st.lists(st.integers(0, 3), max_size=2).map(tuple)
    layout = {name: (np.dtype(draw(kinds)), draw(tails)) for name in names}
    rng = np.random.default_rng(draw(st.integers(0, 99)))

    def tensor(rows: int, dtype: np.dtype[np.generic], tail: tuple[int, ...]) -> Array:
        numbers = rng.integers(0, 100, (rows, *tail))
        return numbers.astype("S").astype(object) if dtype.hasobject else numbers.astype(dtype)

    counts = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    return [{name: tensor(rows, *layout[name]) for name in names} for rows in counts]


# --- stack and split


@given(payloads(), st.integers(1, 12))
def test_stacked_and_split_again_each_payload_has_its_own_rows(
    many: list[Tensors], max_rows: int
) -> None:
    stacked = Stacker(max_rows).stack(many)

    pieces = split(stacked, [rows_of(payload) for payload in many])

    assert lists(pieces) == lists(many)
    assert all(
        piece[name].dtype == payload[name].dtype and piece[name].shape == payload[name].shape
        for piece, payload in zip(pieces, many, strict=True)
        for name in payload
    )


@given(st.lists(payloads(), max_size=4))
def test_what_was_stacked_before_leaves_no_trace(batches: list[list[Tensors]]) -> None:
    used = Stacker(8)

    for many in batches:
        assert lists([used.stack(many)]) == lists([Stacker(8).stack(many)])


def test_a_single_payload_is_not_copied() -> None:
    (payload,) = numbered(3)

    assert Stacker(8).stack([payload]) is payload


def test_pieces_are_not_copied() -> None:
    outputs = {"y": np.arange(6)}

    first, second = split(outputs, [2, 4])

    assert np.shares_memory(first["y"], outputs["y"])
    assert np.shares_memory(second["y"], outputs["y"])
    assert split(outputs, [6]) == [outputs]


# --- buffers


def test_a_buffer_is_used_again_for_batches_of_any_size() -> None:
    stacker = Stacker(8)

    first = stacker.stack(numbered(1, 2))["x"]
    second = stacker.stack(numbered(3, 5, first=100))["x"]

    assert np.shares_memory(first, second)
    assert stacker.owns(second)


def test_tensors_of_other_names_types_or_tails_have_other_buffers() -> None:
    a, b = np.ones((1, 2), np.float32), np.ones((1, 2), np.int32)
    payload = {"a": a, "b": a, "c": b, "d": np.ones((1, 3), np.float32)}

    stacked = Stacker(8).stack([payload, payload])

    assert lists([stacked]) == lists([{n: np.concatenate([t, t]) for n, t in payload.items()}])


def test_buffers_are_bounded_and_the_oldest_is_dropped() -> None:
    stacker = Stacker(2)

    stacked = [stacker.stack(numbered(1, 1, width=width))["x"] for width in range(1, 40)]

    assert [stacker.owns(array) for array in stacked] == [False] * (39 - MAX_BUFFERS) + [
        True
    ] * MAX_BUFFERS


def test_buffers_are_bounded_in_bytes_whatever_lengths_callers_choose() -> None:
    stacker = Stacker(64)
    quarter = MAX_BYTES // 4 // 64 // 4  # floats a row of a buffer that takes a quarter of it all

    def stack(width: int) -> Array:
        row = np.ones((1, width), np.float32)
        return stacker.stack([{"x": row}, {"x": row}])["x"]

    stacked = [stack(quarter - n) for n in range(6)]
    assert [stacker.owns(array) for array in stacked] == [False, False, True, True, True, True]

    huge = stack(5 * quarter)
    assert huge.shape == (2, 5 * quarter)
    assert not stacker.owns(huge)
    assert stacker.owns(stacked[-1])  # it pushes out nobody


def test_more_rows_than_a_buffer_holds_are_stacked_without_one() -> None:
    stacker = Stacker(4)

    stacked = stacker.stack(numbered(3, 2))

    assert stacked["x"].tolist() == np.arange(10).reshape(5, 2).tolist()
    assert not stacker.owns(stacked["x"])


def test_texts_are_stacked_without_a_buffer_that_would_keep_them_alive() -> None:
    stacker = Stacker(4)
    text = np.array([b"a"], object)

    stacked = stacker.stack([{"t": text}, {"t": text}])

    assert stacked["t"].tolist() == [b"a", b"a"]
    assert not stacker.owns(stacked["t"])


# --- padding


def of_lengths(*shapes: tuple[int, int], tail: tuple[int, ...] = ()) -> list[Tensors]:
    """Payloads of so many rows and so long, without a zero."""
    return [
        {"x": np.arange(1, 1 + np.prod((*shape, *tail))).reshape(*shape, *tail)} for shape in shapes
    ]


def test_shorter_rows_are_padded_to_the_longest_of_the_batch() -> None:
    stacked = Stacker(8, {"x": -1}).stack(of_lengths((1, 2), (2, 3), (1, 0)))

    assert stacked["x"].tolist() == [[1, 2, -1], [1, 2, 3], [4, 5, 6], [-1, -1, -1]]


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 70)), min_size=2, max_size=5),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([(), (2,)]),
    st.integers(1, 12),
)
def test_padded_rows_begin_with_their_own_and_end_with_padding(
    batches: list[list[tuple[int, int]]], tail: tuple[int, ...], max_rows: int
) -> None:
    stacker = Stacker(max_rows, {"x": 0})

    for shapes in batches:
        payloads = of_lengths(*shapes, tail=tail)
        stacked = stacker.stack(payloads)["x"]

        assert stacked.shape == (sum(n for n, _ in shapes), max(le for _, le in shapes), *tail)
        assert stacked.flags.c_contiguous
        pieces = split({"x": stacked}, [rows for rows, _ in shapes])
        for payload, piece in zip(payloads, pieces, strict=True):
            length = payload["x"].shape[1]
            assert piece["x"][:, :length].tolist() == payload["x"].tolist()
            assert not piece["x"][:, length:].any()


def test_all_lengths_share_one_buffer_that_grows_to_the_longest() -> None:
    stacker = Stacker(4, {"x": 0})

    def stack(length: int) -> Array:
        return stacker.stack(of_lengths((2, length), (2, 1)))["x"]

    first, second, longer = stack(5), stack(32), stack(33)

    assert np.shares_memory(first, second)
    assert not np.shares_memory(second, longer)
    assert not stacker.owns(first)  # its buffer was too short, and is gone
    assert np.shares_memory(longer, stack(1))
    assert np.shares_memory(longer, stack(64))


def test_padding_stays_within_the_bytes_that_buffers_may_take() -> None:
    stacker = Stacker(64, {"x": 0})
    longest = MAX_BYTES // 64 // 8

    fits = stacker.stack(of_lengths((1, longest), (1, 1)))["x"]
    assert stacker.owns(fits)
    huge = stacker.stack(of_lengths((1, longest + 1), (1, 1)))["x"]
    assert not stacker.owns(huge)


def test_only_the_tensors_that_are_named_are_padded() -> None:
    short, long = np.ones((1, 2), np.float32), np.ones((1, 3), np.float32)

    stacked = Stacker(4, {"x": 0.5}).stack([{"x": short, "y": short}, {"x": long, "y": short}])

    assert stacked["x"].tolist() == [[1, 1, 0.5], [1, 1, 1]]
    assert stacked["y"].tolist() == [[1, 1], [1, 1]]


def test_a_padded_batch_gives_each_payload_the_outputs_of_its_own_rows() -> None:
    run = batched(lambda tensors: {"y": tensors["x"].sum(axis=1)}, max_rows=8, padding={"x": 0})

    replies = run(of_lengths((1, 2), (2, 3)))

    assert lists(replies) == [{"y": [3]}, {"y": [6, 15]}]
    assert lists(run(of_lengths((1, 4)))) == [{"y": [10]}]


# --- a function of one batch made into one of many payloads


def test_each_payload_gets_the_outputs_of_its_own_rows() -> None:
    run = batched(lambda tensors: {"y": tensors["x"].sum(axis=1)}, max_rows=8)

    assert lists(run(numbered(1, 0, 2))) == [{"y": [1]}, {"y": []}, {"y": [5, 9]}]


@pytest.mark.parametrize(
    "hand_through",
    [
        lambda tensors: tensors,
        lambda tensors: {"y": tensors["x"][::-1]},
        lambda tensors: {"y": tensors["x"].T[0]},
        lambda tensors: {"y": np.broadcast_to(tensors["x"][:, None], (len(tensors["x"]), 3, 2))},
    ],
)
def test_an_answer_is_not_written_over_by_the_next_batch(hand_through: object) -> None:
    run = batched(hand_through, max_rows=8)  # type: ignore[arg-type]
    first = run(numbered(2, 3))
    before = lists(first)

    run(numbered(4, 4, first=1000))

    assert lists(first) == before


def test_more_inputs_than_there_are_buffers_keep_apart() -> None:
    run = batched(lambda tensors: tensors, max_rows=4)
    payload = {f"x{i}": np.full((1, 2), i) for i in range(3 * MAX_BUFFERS)}

    for _ in range(3):
        assert lists(run([payload, payload])) == lists([payload, payload])


@pytest.mark.parametrize("rows", [[5], [2, 3], [5, 0]])
@pytest.mark.parametrize(
    ("output", "shape"), [(np.ones(4), [4]), (np.ones((6, 2)), [6, 2]), (np.float32(1), [])]
)
def test_an_output_without_a_row_for_each_row_is_refused(
    rows: list[int], output: Array, shape: list[int]
) -> None:
    run = batched(lambda _: {"fine": np.ones(5), "y": output}, max_rows=8)

    with pytest.raises(WrongRows) as refused:
        run(numbered(*rows))

    assert isinstance(refused.value, RunFailed)
    assert str(refused.value).endswith(f"5 rows went in, output 'y' came out with shape {shape}")


def test_what_the_function_raises_comes_out_and_the_next_batch_works() -> None:
    def fussy(tensors: Tensors) -> Tensors:
        if tensors["x"].max() > 100:
            raise ValueError("too much")
        return tensors

    run = batched(fussy, max_rows=8)
    with pytest.raises(ValueError, match="too much"):
        run(numbered(1, 1, first=1000))

    assert lists(run(numbered(1, 1))) == lists(numbered(1, 1))


# --- one large payload in pieces


@given(payloads(), st.integers(1, 7))
def test_divided_and_rejoined_a_payload_is_the_same(many: list[Tensors], max_rows: int) -> None:
    for payload in many:
        if rows_of(payload) == 0:
            continue  # nothing to divide, and nobody asks for it
        pieces = divide(payload, max_rows)

        assert lists([rejoin([piece for piece, _ in pieces])]) == lists([payload])
        assert [rows for _, rows in pieces] == [rows_of(piece) for piece, _ in pieces]
        assert all(1 <= rows <= max_rows for _, rows in pieces)
        assert len(pieces) == -(-rows_of(payload) // max_rows)


def test_dividing_copies_nothing() -> None:
    (payload,) = numbered(5)

    assert all(np.shares_memory(piece["x"], payload["x"]) for piece, _ in divide(payload, 2))


def test_rows_apart_have_no_padding_and_no_copy() -> None:
    ids = np.array([[1, 2, 0], [3, 4, 5]])
    other = np.array([[7.0], [8.0]])

    rows = apart({"ids": ids, "other": other}, [2, 3], {"ids"})

    assert lists(rows) == [
        {"ids": [[1, 2]], "other": [[7.0]]},
        {"ids": [[3, 4, 5]], "other": [[8.0]]},
    ]
    assert all(np.shares_memory(row["ids"], ids) for row in rows)

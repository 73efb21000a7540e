"""Every row once, in order, in blocks whose cuts do not depend on how it was read."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.mapping.blocks import Block, Rejected, rechunked


def block(first: int, good: list[bool]) -> Block:
    rows = np.array([first + i for i, ok in enumerate(good) if ok], dtype=np.int64)
    rejected = [Rejected(first + i, "bad", None) for i, ok in enumerate(good) if not ok]
    return Block(first, len(good), pa.table({"row": rows}), rows, rejected)


def blocks(pieces: list[list[bool]], first: int = 0) -> list[Block]:
    made = []
    for piece in pieces:
        made.append(block(first, piece))
        first += len(piece)
    return made


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), max_size=12)), st.integers(1, 10), st.integers(0, 40))
def test_each_row_comes_once_and_in_order(pieces, size, start):
    total = sum(map(len, pieces))
    given_blocks = [one.between(start, one.end) for one in blocks(pieces) if one.end > start]

    chunks = list(rechunked(given_blocks, size, start))

    assert all(chunk.count == size for chunk in chunks[:-1])
    at = start
    for chunk in chunks:
        assert chunk.first == at
        seen = sorted([*chunk.rows.tolist(), *(one.row for one in chunk.rejected)])
        assert seen == list(range(at, at + chunk.count))
        assert chunk.table.column("row").to_pylist() == chunk.rows.tolist()
        at = chunk.end
    assert at == max(start, total)


@settings(deadline=None)
@given(st.lists(st.lists(st.booleans(), max_size=12)), st.integers(1, 10), st.integers(0, 4))
def test_who_goes_on_at_a_cut_gets_the_same_blocks(pieces, size, done):
    whole = list(rechunked(blocks(pieces), size))
    start = done * size
    rest = [one.between(start, one.end) for one in blocks(pieces) if one.end > start]

    went_on = list(rechunked(rest, size, start))

    expected = [(one.first, one.count, one.rows.tolist()) for one in whole if one.first >= start]
    assert [(one.first, one.count, one.rows.tolist()) for one in went_on] == expected

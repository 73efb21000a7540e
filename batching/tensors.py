"""Many requests' tensors into one array each, and back.

A payload is a mapping from a tensor's name to an array whose first axis is the
batch axis. All payloads of one call have the same names, types and tails (the
shape after the batch axis); the ticket's key sees to that. Only tensors that are
padded may differ along axis 1: they are made as long as the longest.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from .errors import RunFailed

Array = NDArray[np.generic]
Tensors = Mapping[str, Array]
Key = tuple[str, str, tuple[int, ...]]
"""A buffer's tensor, type and tail."""

# Shapes that one stacker keeps buffers for. Models with fixed shapes need one;
# with moving shapes the oldest is dropped, so that memory stays flat.
MAX_BUFFERS = 16
# And what they may take together. Where an axis may have any size it is a caller
# who chooses it, and a buffer is made for many rows of it.
MAX_BYTES = 128 * 2**20
# A buffer for padded tensors is made for lengths up to a multiple of this, so that
# it is made anew only a few times until the longest has come.
LENGTH_STEP = 32


class WrongRows(RunFailed):
    """An output does not have one row for each row that went in: not a batched model."""

    def __init__(self, *, name: str, rows: int, shape: tuple[int, ...]) -> None:
        super().__init__(f"{rows} rows went in, output {name!r} came out with shape {list(shape)}")


class Stacker:
    """Stacks into buffers that it uses again; one for each slot, never shared.

    What `stack` returns is good until the next call of `stack`.
    """

    def __init__(self, max_rows: int, padding: Mapping[str, int | float] | None = None) -> None:
        """
        max_rows: the rows that a buffer is made for; more are stacked without one.
        padding: the tensors that are padded along axis 1, and what with.
        """
        self._max_rows = max_rows
        self._padding = padding or {}
        self._buffers: dict[Key, Array] = {}

    def stack(self, payloads: Sequence[Tensors]) -> Tensors:
        """One copy of every row; no copy at all for a single payload."""
        if len(payloads) == 1:
            return payloads[0]
        stacked: dict[str, Array] = {}
        for name in payloads[0]:
            parts = [payload[name] for payload in payloads]
            pad = self._padding.get(name)
            stacked[name] = self._stack(name, parts) if pad is None else self._pad(name, parts, pad)
        return stacked

    def owns(self, array: Array) -> bool:
        """Whether the array is a view into one of the buffers."""
        return any(np.may_share_memory(array, buffer) for buffer in self._buffers.values())

    @property
    def _bytes(self) -> int:
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def _stack(self, name: str, parts: list[Array]) -> Array:
        shape = (sum(map(len, parts)), *parts[0].shape[1:])
        key, row = (name, parts[0].dtype.str, shape[1:]), prod(shape[1:])
        return np.concatenate(parts, out=self._room(shape, parts[0].dtype, key, row))

    def _pad(self, name: str, parts: list[Array], pad: int | float) -> Array:
        tail = parts[0].shape[2:]
        length = max(part.shape[1] for part in parts)
        shape = (sum(map(len, parts)), length, *tail)
        # One buffer for all lengths, and as long as the longest so far.
        key = (name, parts[0].dtype.str, (-1, *tail))
        row = -(-length // LENGTH_STEP) * LENGTH_STEP * prod(tail)
        stacked = self._room(shape, parts[0].dtype, key, row)
        start = 0
        for part in parts:
            end, own = start + len(part), part.shape[1]
            stacked[start:end, :own] = part
            stacked[start:end, own:] = pad
            start = end
        return stacked

    def _room(
        self, shape: tuple[int, ...], dtype: np.dtype[np.generic], key: Key, row: int
    ) -> Array:
        """An array to be filled, out of the buffer of this key if it is of a size to keep.

        `row`: the elements that the buffer is to have for each row, at least.
        """
        size = self._max_rows * row * dtype.itemsize
        if dtype.hasobject or shape[0] > self._max_rows or size > MAX_BYTES:
            return np.empty(shape, dtype)
        buffer = self._buffers.get(key)
        if buffer is None or buffer.nbytes < size:
            self._buffers.pop(key, None)
            while len(self._buffers) >= MAX_BUFFERS or self._bytes + size > MAX_BYTES:
                del self._buffers[next(iter(self._buffers))]
            buffer = self._buffers[key] = np.empty(self._max_rows * row, dtype)
        # Buffers are flat, so that every batch is a prefix that lies in one piece, as
        # engines ask for: the corner of a larger rectangle would not.
        return buffer[: prod(shape)].reshape(shape)


def split(outputs: Tensors, rows: Sequence[int]) -> list[Tensors]:
    """Cut every output into pieces of so many rows each, without copying.

    Raises `WrongRows` if an output has not as many rows as went in.
    """
    total = sum(rows)
    for name, output in outputs.items():
        if output.ndim == 0 or len(output) != total:
            raise WrongRows(name=name, rows=total, shape=output.shape)
    if len(rows) == 1:
        return [outputs]
    if len(outputs) == 1 and rows == [1] * total:
        [(name, output)] = outputs.items()
        return [{name: row} for row in output[:, np.newaxis]]
    pieces: list[Tensors] = []
    start = 0
    for count in rows:
        end = start + count
        pieces.append({name: output[start:end] for name, output in outputs.items()})
        start = end
    return pieces


def batched(
    run: Callable[[Tensors], Tensors],
    *,
    max_rows: int,
    padding: Mapping[str, int | float] | None = None,
) -> Callable[[Sequence[Tensors]], Sequence[Tensors]]:
    """Make a function of one batch of tensors into one of many payloads. For one slot.

    `padding`: see Stacker. Outputs are not cut back: none may be longer for the padding.
    """
    stacker = Stacker(max_rows, padding)

    def run_payloads(payloads: Sequence[Tensors]) -> Sequence[Tensors]:
        outputs = run(stacker.stack(payloads))
        # A model that hands its input through must not hand out our buffer: the
        # next batch would write over an answer that is still being sent.
        outputs = {
            name: output.copy() if stacker.owns(output) else output
            for name, output in outputs.items()
        }
        return split(outputs, [rows_of(payload) for payload in payloads])

    return run_payloads


def rows_of(payload: Tensors) -> int:
    """How many rows a payload has; the same for each of its tensors."""
    return len(next(iter(payload.values())))


def divide(payload: Tensors, max_rows: int) -> list[tuple[Tensors, int]]:
    """Cut a payload into pieces of at most so many rows, with the rows of each."""
    rows = rows_of(payload)
    return [
        (
            {name: tensor[start : start + max_rows] for name, tensor in payload.items()},
            min(max_rows, rows - start),
        )
        for start in range(0, rows, max_rows)
    ]


def apart(payload: Tensors, lengths: Sequence[int], padded: Container[str]) -> list[Tensors]:
    """A payload's rows, each by itself and without its padding.

    lengths: of each row, along axis 1. padded: the tensors that have them.
    """
    return [
        {
            name: tensor[row : row + 1, :length] if name in padded else tensor[row : row + 1]
            for name, tensor in payload.items()
        }
        for row, length in enumerate(lengths)
    ]


def rejoin(outputs: Sequence[Tensors]) -> Tensors:
    """The outputs of a divided payload's pieces as one."""
    return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}

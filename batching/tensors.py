"""Many requests' tensors into one array each, and back.

A payload is a mapping from a tensor's name to an array whose first axis is the
batch axis. All payloads of one call have the same names, types and tails (the
shape after the batch axis); the ticket's key sees to that.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .errors import RunFailed

Array = NDArray[np.generic]
Tensors = Mapping[str, Array]

# Shapes that one stacker keeps buffers for. Models with fixed shapes need one;
# with moving shapes the oldest is dropped, so that memory stays flat.
MAX_BUFFERS = 16


class WrongRows(RunFailed):
    """An output does not have one row for each row that went in: not a batched model."""

    def __init__(self, *, name: str, rows: int, shape: tuple[int, ...]) -> None:
        super().__init__(f"{rows} rows went in, output {name!r} came out with shape {list(shape)}")


class Stacker:
    """Stacks into buffers that it uses again; one for each slot, never shared.

    What `stack` returns is good until the next call of `stack`.
    """

    def __init__(self, max_rows: int) -> None:
        """`max_rows`: the rows that a buffer is made for; more are stacked without one."""
        self._max_rows = max_rows
        self._buffers: dict[tuple[str, str, tuple[int, ...]], Array] = {}

    def stack(self, payloads: Sequence[Tensors]) -> Tensors:
        """One copy of every row; no copy at all for a single payload."""
        if len(payloads) == 1:
            return payloads[0]
        return {
            name: self._stack(name, [payload[name] for payload in payloads]) for name in payloads[0]
        }

    def owns(self, array: Array) -> bool:
        """Whether the array is a view into one of the buffers."""
        return any(np.may_share_memory(array, buffer) for buffer in self._buffers.values())

    def _stack(self, name: str, parts: list[Array]) -> Array:
        rows = sum(map(len, parts))
        first = parts[0]
        if first.dtype.hasobject or rows > self._max_rows:
            return np.concatenate(parts)
        shape = (name, first.dtype.str, first.shape[1:])
        buffer = self._buffers.get(shape)
        if buffer is None:
            if len(self._buffers) >= MAX_BUFFERS:
                del self._buffers[next(iter(self._buffers))]
            buffer = np.empty((self._max_rows, *first.shape[1:]), first.dtype)
            self._buffers[shape] = buffer
        return np.concatenate(parts, out=buffer[:rows])


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
    pieces: list[Tensors] = []
    start = 0
    for count in rows:
        end = start + count
        pieces.append({name: output[start:end] for name, output in outputs.items()})
        start = end
    return pieces


def batched(
    run: Callable[[Tensors], Tensors], *, max_rows: int
) -> Callable[[Sequence[Tensors]], Sequence[Tensors]]:
    """Make a function of one batch of tensors into one of many payloads. For one slot."""
    stacker = Stacker(max_rows)

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


def rejoin(outputs: Sequence[Tensors]) -> Tensors:
    """The outputs of a divided payload's pieces as one."""
    return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}

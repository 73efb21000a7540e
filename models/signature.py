"""What a model takes and gives: names, types and shapes, and where its batch axis is.

A Signature is read from the model's file once. `check` then tells for one
request's tensors how many rows they are, and which others they may share a
batch with. It knows no engine and no protocol.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidInput

Array = NDArray[np.generic]
Tensors = Mapping[str, Array]

Dim = int | str | None
"""A size; or a symbol, which may be any size but the same wherever it stands; or any size."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output."""

    name: str
    dtype: np.dtype[np.generic]
    """`object` for tensors of byte strings."""
    shape: tuple[Dim, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape with -1 for each axis that may have any size."""
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.shape)

    def __str__(self) -> str:
        dims = ", ".join("?" if dim is None else str(dim) for dim in self.shape)
        kind = "bytes" if self.dtype.hasobject else self.dtype.name
        return f"{self.name}: {kind} [{dims}]"


class Checked(NamedTuple):
    """What `Signature.check` found."""

    rows: int
    key: Hashable
    """Equal for tensors that can be stacked; None where every request's can."""


@dataclass(frozen=True)
class Signature:
    """A model's inputs and outputs, in its own order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool = field(default=True)
    """Whether the first axis of every tensor counts rows that do not know each other."""

    @property
    def may_batch(self) -> bool:
        """Whether the shapes allow batching: a first axis of any size on every tensor.

        That is necessary, not sufficient: whether the rows are strangers to each
        other only a run can tell.
        """
        tensors = (*self.inputs, *self.outputs)
        return bool(self.inputs) and all(
            tensor.shape and not isinstance(tensor.shape[0], int) for tensor in tensors
        )

    def check(self, tensors: Tensors) -> Checked:
        """Find the rows of a request's tensors and what may ride with them.

        Raises InvalidInput naming the first input that does not fit, what was
        expected and what came.
        """
        if len(tensors) != len(self.inputs):
            self._check_names(tensors)
        rows = -1
        free: list[int] = []
        symbols: dict[str, tuple[int, str]] = {}
        for spec in self.inputs:
            tensor = tensors.get(spec.name)
            if tensor is None:
                self._check_names(tensors)
                raise AssertionError("unreachable: the names differ")
            if tensor.dtype != spec.dtype:
                raise InvalidInput(
                    f"input {spec.name!r}: expected {_kind(spec.dtype)}, got {_kind(tensor.dtype)}"
                )
            shape = tensor.shape
            if len(shape) != len(spec.shape):
                raise self._wrong_shape(spec, shape)
            for axis, dim in enumerate(spec.shape):
                if isinstance(dim, int):
                    if shape[axis] != dim:
                        raise self._wrong_shape(spec, shape)
                elif axis or not self.batched:
                    free.append(shape[axis])
                    if dim is not None:
                        size, where = symbols.setdefault(dim, (shape[axis], spec.name))
                        if size != shape[axis]:
                            raise InvalidInput(
                                f"input {spec.name!r}: axis {axis} ({dim!r}) is {shape[axis]}, "
                                f"but {size} in input {where!r}"
                            )
            if not self.batched:
                continue
            if rows < 0:
                rows = shape[0]
            elif rows != shape[0]:
                raise InvalidInput(
                    f"input {spec.name!r} has {shape[0]} rows, "
                    f"but input {self.inputs[0].name!r} has {rows}"
                )
        return Checked(rows if self.batched else 1, tuple(free) if free else None)

    def _check_names(self, tensors: Tensors) -> None:
        """Say which names are missing or unknown; the caller found that some are."""
        wanted = [spec.name for spec in self.inputs]
        if unknown := [name for name in tensors if name not in wanted]:
            raise InvalidInput(f"unexpected input {unknown[0]!r}: the model's inputs are {wanted}")
        missing = [name for name in wanted if name not in tensors]
        raise InvalidInput(f"input {missing[0]!r} is missing: the model's inputs are {wanted}")

    @staticmethod
    def _wrong_shape(spec: TensorSpec, shape: tuple[int, ...]) -> InvalidInput:
        return InvalidInput(
            f"input {spec.name!r}: expected shape {list(spec.sizes)}, got {list(shape)}"
        )


def _kind(dtype: np.dtype[np.generic]) -> str:
    return "bytes" if dtype.hasobject else dtype.name


def sample(
    signature: Signature, rows: int, example: Mapping[str, object] | None = None
) -> dict[str, Array]:
    """Tensors of so many rows that the signature accepts: from `example`, else zeros and ones.

    `example` gives one row's values for each input, flat. Axes of any size, other
    than the batch axis, become 1 long, or as long as the example's values need.
    """
    tensors: dict[str, Array] = {}
    for spec in signature.inputs:
        tail = spec.sizes[1:] if signature.batched else spec.sizes
        given = (example or {}).get(spec.name)
        if given is None:
            fixed = tuple(1 if size < 0 else size for size in tail)
            value: object = b"" if spec.dtype.hasobject else 1
            row = np.full(fixed, value, spec.dtype)
        else:
            row = row_of(spec, given, tail)
        stacked = np.repeat(row[np.newaxis], rows, axis=0) if signature.batched else row
        tensors[spec.name] = np.ascontiguousarray(stacked)
    return tensors


def row_of(spec: TensorSpec, values: object, tail: tuple[int, ...]) -> Array:
    """One row from flat or nested values; raises InvalidInput if they do not fit."""
    try:
        if spec.dtype.hasobject:
            flat = np.array(
                [
                    v.encode() if isinstance(v, str) else v
                    for v in np.ravel(np.array(values, object))
                ],
                dtype=object,
            )
        else:
            flat = np.ravel(np.asarray(values, spec.dtype))
        known = int(np.prod([size for size in tail if size >= 0], dtype=np.int64))
        # One moving axis takes what is left; any further ones are 1.
        moving = [axis for axis, size in enumerate(tail) if size < 0]
        shape = [1 if size < 0 else size for size in tail]
        if moving and known:
            shape[moving[0]] = flat.size // known
        return flat.reshape(shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(
            f"the example for {spec.name!r} does not fit {list(tail)} of {_kind(spec.dtype)}: "
            f"{error}"
        ) from error

"""What a model takes and gives: names, types and shapes, and where its batch axis is.

A Signature is read from the model's file once. `check` then tells for one
request's tensors how many rows they are, and which others they may share a
batch with. It knows no engine and no protocol.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bfloat16 import BFLOAT16, to_bfloat16
from .errors import InvalidInput

Array = NDArray[np.generic]
Tensors = Mapping[str, Array]

DATATYPES: Final[Mapping[str, np.dtype[np.generic]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
"""Types by the names that the Open Inference Protocol, and so `model.toml`, has for them.

BF16 is not here: a model may have it, but numpy has no such numbers for a pipeline to make.
"""

Dim = int | str | None
"""A size; or a symbol, which may be any size but the same wherever it stands; or any size."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output."""

    name: str
    dtype: np.dtype[np.generic]
    """`object` for tensors of byte strings."""
    shape: tuple[Dim, ...]
    pad: int | float | None = None
    """What makes rows of different lengths, along axis 1, equally long; None if nothing may."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape with -1 for each axis that may have any size."""
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.shape)

    def __str__(self) -> str:
        dims = ", ".join("?" if dim is None else str(dim) for dim in self.shape)
        return f"{self.name}: {_kind(self.dtype)} [{dims}]"


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
        shapes = [tensor.shape for tensor in (*self.inputs, *self.outputs)]
        if not self.inputs or any(not shape or isinstance(shape[0], int) for shape in shapes):
            return False
        # Rows that are counted along another axis too are compared with each other, as in
        # [texts, images]: a stranger's row would be a column of the answer.
        firsts = {shape[0] for shape in shapes} - {None}
        return not any(dim in firsts for shape in shapes for dim in shape[1:])

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
                    if axis != 1 or spec.pad is None:
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
    if dtype == BFLOAT16:
        return "bfloat16"
    return "bytes" if dtype.hasobject else dtype.name


def sample(
    signature: Signature, rows: int, example: Mapping[str, object] | None = None
) -> dict[str, Array]:
    """Tensors of so many rows that the signature accepts: from `example`, else zeros and ones.

    `example` gives one row's values for each input, flat or nested. Axes of any size,
    other than the batch axis, become 1 long, or as long as the example's values need.
    Raises InvalidInput if the values do not fit their input or each other.
    """
    first = 1 if signature.batched else 0
    given: dict[str, Array] = {}
    symbols: dict[Dim, int] = {}
    for spec in signature.inputs:
        if (values := (example or {}).get(spec.name)) is not None:
            row = given[spec.name] = row_of(spec, values, spec.sizes[first:])
            dims = zip(spec.shape[first:], row.shape, strict=True)
            symbols |= {dim: size for dim, size in dims if isinstance(dim, str)}
    tensors: dict[str, Array] = {}
    for spec in signature.inputs:
        row = given.get(spec.name, _blank(spec, spec.shape[first:], symbols))
        stacked = np.repeat(row[np.newaxis], rows, axis=0) if signature.batched else row
        tensors[spec.name] = np.asarray(stacked, order="C")
    signature.check(tensors)
    return tensors


def _blank(spec: TensorSpec, dims: tuple[Dim, ...], symbols: Mapping[Dim, int]) -> Array:
    """A row of ones or of empty strings, as long as the examples of other inputs make it."""
    shape = [dim if isinstance(dim, int) else symbols.get(dim, 1) for dim in dims]
    if spec.dtype == BFLOAT16:
        return to_bfloat16(np.ones(shape))
    value: object = b"" if spec.dtype.hasobject else 1
    return np.full(shape, value, spec.dtype)


def row_of(spec: TensorSpec, values: object, tail: tuple[int, ...]) -> Array:
    """One row from flat or nested values; raises InvalidInput if they do not fit."""
    try:
        given = byte_strings(values) if spec.dtype.hasobject else _numbers(values, spec.dtype)
        if len(given.shape) == len(tail) and all(
            want in (-1, size) for want, size in zip(tail, given.shape, strict=True)
        ):
            return given
        flat = given.ravel()
        known = int(np.prod([size for size in tail if size >= 0], dtype=np.int64))
        # One moving axis takes what is left; any further ones are 1.
        moving = [axis for axis, size in enumerate(tail) if size < 0]
        shape = [1 if size < 0 else size for size in tail]
        if moving and known:
            shape[moving[0]] = flat.size // known
        return flat.reshape(shape)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InvalidInput(
            f"the example for {spec.name!r} does not fit {list(tail)} of {_kind(spec.dtype)}: "
            f"{error}"
        ) from error


def byte_strings(values: object) -> Array:
    """An array of byte strings from texts and byte strings; TypeError if there is anything else."""
    given = np.array(values, object)
    encoded = [value.encode() if isinstance(value, str) else value for value in given.flat]
    if wrong := [value for value in encoded if not isinstance(value, bytes)]:
        raise TypeError(f"{wrong[0]!r} is not a text")
    flat = np.empty(given.size, object)
    flat[:] = encoded
    return flat.reshape(given.shape)


def _numbers(values: object, dtype: np.dtype[np.generic]) -> Array:
    if dtype == BFLOAT16:
        return to_bfloat16(_numbers(values, np.dtype(np.float32)))
    with np.errstate(over="raise"):
        numbers = np.asarray(values, dtype)
    given = np.asarray(values)
    # Left to itself, numpy cuts 1.5 to an integer and reads numbers from texts.
    exact = dtype.kind == "f" or np.array_equal(numbers, given)
    if given.dtype.kind not in "biuf" or not exact:
        raise ValueError(f"not all of it is {dtype.name}")
    return numbers

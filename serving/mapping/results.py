"""A model's outputs as columns: a number, a text or a list a row.

A vector is a list of fixed size; an axis that may have any size makes a list of any. With
`top`, a vector of scores becomes its best places, or their labels, and their scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models import Array, Signature, TensorSpec
from models.bfloat16 import to_float32

from .columns import tail_of
from .errors import CannotMap

Rows = Array | list[Array]
"""All rows of an output in one array; or each by itself, where shapes may differ."""


@dataclass(frozen=True)
class Output:
    """One output, and the columns that are made of it."""

    spec: TensorSpec
    tail: tuple[int, ...]
    column: str
    top: int = 0
    """So many best elements of a vector, instead of all; 0: all."""
    labels: tuple[str, ...] = ()

    @property
    def fields(self) -> list[pa.Field]:
        kind = _arrow_type(self.spec)
        if self.top:
            best = pa.string() if self.labels else pa.int64()
            fields = [(self.column, best), (f"{self.column}_score", kind)]
            if self.top == 1:
                return [pa.field(name, kind) for name, kind in fields]
            return [pa.field(name, pa.list_(kind, self.top)) for name, kind in fields]
        for size in reversed(self.tail):
            kind = pa.list_(kind, size) if size >= 0 else pa.list_(kind)
        return [pa.field(self.column, kind)]

    def why_not(self, values: Array, rows: int) -> str | None:
        """What is wrong with what came for so many rows; None if nothing is."""
        tail = values.shape[1:]
        if len(values) != rows:
            return f"output {self.spec.name!r} has {len(values)} rows for {rows}"
        if len(tail) != len(self.tail) or any(
            want not in (-1, size) for want, size in zip(self.tail, tail, strict=True)
        ):
            return f"output {self.spec.name!r} should have shape {self.tail}, and has {tail}"
        if self.spec.dtype.hasobject:
            try:
                _plain(values, self.spec)
            except UnicodeDecodeError:
                return f"output {self.spec.name!r} is not UTF-8"
        return None

    def arrays(self, rows: Rows) -> list[Any]:
        """A column for each of `fields`, of what `why_not` finds nothing wrong with."""
        if self.top:
            return self._best(rows)
        if -1 in self.tail or isinstance(rows, list):
            values = [_plain(row, self.spec).tolist() for row in rows]
            return [pa.array(values, self.fields[0].type)]
        count = len(rows)
        column = pa.array(_plain(rows, self.spec).reshape(count * prod(self.tail)))
        for size in reversed(self.tail):
            column = pa.FixedSizeListArray.from_arrays(column, size)
        return [column]

    def _best(self, rows: Rows) -> list[Any]:
        scores = np.asarray(_plain(np.asarray(rows), self.spec))
        places = np.argsort(-scores, axis=1, kind="stable")[:, : self.top]
        best: list[Any] = [places.ravel(), np.take_along_axis(scores, places, axis=1).ravel()]
        if self.labels:
            best[0] = np.array(self.labels, object)[best[0]]
        columns = [pa.array(values) for values in best]
        if self.top == 1:
            return columns
        return [pa.FixedSizeListArray.from_arrays(column, self.top) for column in columns]


def outputs_of(
    signature: Signature,
    *,
    named: Mapping[str, str] | None = None,
    top: int = 0,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Output, ...]:
    """How each output becomes a column.

    named: other names for columns, by the output's. labels: names of a vector's elements,
    by the output's. Raises CannotMap.
    """
    named = named or {}
    names = [spec.name for spec in signature.outputs]
    if unknown := [name for name in named if name not in names]:
        raise CannotMap(f"the model has no output {unknown[0]!r}; it has {', '.join(names)}.")
    outputs = []
    for spec in signature.outputs:
        tail = tail_of(spec, signature)
        scores = len(tail) == 1 and spec.dtype.kind == "f" and tail[0] > 1
        of_it = min(top, tail[0]) if top and scores else 0
        its_labels = tuple((labels or {}).get(spec.name, ())) if of_it else ()
        if len(its_labels) != (tail[0] if tail else 0):
            its_labels = ()
        outputs.append(Output(spec, tail, named.get(spec.name, spec.name), of_it, its_labels))
    if top and not any(output.top for output in outputs):
        raise CannotMap("--top is for outputs that are vectors of scores, and the model has none.")
    return tuple(outputs)


def _arrow_type(spec: TensorSpec) -> pa.DataType:
    if spec.dtype.hasobject:
        return pa.string()
    return pa.float32() if spec.dtype.kind == "V" else pa.from_numpy_dtype(spec.dtype)


def _plain(values: Array, spec: TensorSpec) -> NDArray[Any]:
    """The values as arrow takes them: texts for bytes, FP32 for bfloat16."""
    if spec.dtype.hasobject:
        texts = [value.decode() if isinstance(value, bytes) else value for value in values.flat]
        plain = np.empty(len(texts), object)
        plain[:] = texts
        return plain.reshape(values.shape)
    if spec.dtype.kind == "V":
        return to_float32(values).reshape(values.shape)
    return np.ascontiguousarray(values)

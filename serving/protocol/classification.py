"""The classification extension: of an output's elements the largest, as texts.

    [0.1, 0.7, 0.2] and k = 2, with labels    ->    ["0.700000:1:dog", "0.200000:2:bird"]

A text is the element's value, its index and, where there is one, its label. The value
is written as C++'s std::to_string does, for that is what clients read.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .datatypes import Array, bytes_array, datatype_of
from .errors import InvalidRequest

CLASSIFIABLE: Final = (
    *("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP32", "FP64"),
)
MAX_ELEMENTS = 1_000_000

_WIDE = 256
"""Elements of a row from where on choosing is cheaper than sorting all rows at once."""


def check_classifiable(name: str, datatype: str) -> None:
    """Raise InvalidRequest if an output of this type has no order that is worth telling."""
    if datatype not in CLASSIFIABLE:
        raise InvalidRequest(
            f"output {name!r} is {datatype}, which cannot be classified: "
            f"that takes one of {', '.join(CLASSIFIABLE)}"
        )


def classified(
    name: str, tensor: Array, most: int, labels: Sequence[str] = (), *, batched: bool = True
) -> Array:
    """The texts of an output's largest elements, the largest first, equals by their index.

    most: how many, at least 1; all where there are fewer. Every row of a batched output
    has its own, so that the shape is [rows, texts]; else it is [texts]. A NaN comes after
    every number.

    Raises InvalidRequest if the output's type has no order or it has too many elements.
    """
    check_classifiable(name, datatype_of(tensor.dtype))
    if tensor.size > MAX_ELEMENTS:
        raise InvalidRequest(
            f"output {name!r} has {tensor.size} elements; at most {MAX_ELEMENTS} are classified"
        )
    in_rows = batched and tensor.ndim > 0
    elements = prod(tensor.shape[1:]) if in_rows else tensor.size
    rows = tensor.reshape((len(tensor) if in_rows else 1, elements))
    order = _largest(rows, most)
    values = np.take_along_axis(rows, order, axis=1)
    form = b"%f:%d" if tensor.dtype.kind == "f" else b"%d:%d"
    texts = [
        form % pair for pair in zip(values.ravel().tolist(), order.ravel().tolist(), strict=True)
    ]
    if labels:
        ends = [b":" + label.encode() for label in labels]
        texts = [
            text + ends[index] if index < len(ends) else text
            for text, index in zip(texts, order.ravel().tolist(), strict=True)
        ]
    return bytes_array(texts).reshape(order.shape if in_rows else order.shape[1:])


def _largest(rows: NDArray[Any], most: int) -> NDArray[np.intp]:
    """For each row the indices of its largest elements, in the order that they are told in."""
    # The other way round, so that a stable sort leaves equals by their index and NaN at the
    # end. The inverse of an integer is, unlike its negative, always within its type.
    keys = -rows if rows.dtype.kind == "f" else ~rows
    if rows.shape[1] < _WIDE or most >= rows.shape[1]:
        return np.argsort(keys, axis=1, kind="stable")[:, :most]
    return np.array([_smallest(key, most) for key in keys], np.intp).reshape(len(rows), most)


def _smallest(key: NDArray[Any], most: int) -> NDArray[np.intp]:
    """What a stable sort would give, without sorting a vocabulary for its five best words."""
    last = np.partition(key, most - 1)[most - 1]
    if last != last:  # NaN: there are fewer numbers than asked for
        return np.argsort(key, kind="stable")[:most]
    candidates = np.flatnonzero(key <= last)
    return candidates[np.argsort(key[candidates], kind="stable")[:most]]


def labels_in(text: str) -> list[str]:
    """The labels in a `labels.txt`: one a line, the first one for index 0."""
    return [line.strip() for line in text.removeprefix("\ufeff").rstrip().splitlines()]

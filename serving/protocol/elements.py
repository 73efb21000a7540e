"""JSON lists to arrays: every element of the right kind, and within its type's range."""

import json
import re
import warnings
from collections.abc import Callable
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
import simdjson

from .datatypes import DTYPES, Array, bytes_array, reshaped
from .errors import InvalidRequest

NO_JSON_FORM = frozenset({"FP16", "BF16"})


class _Wide(NamedTuple):
    """The widest type of a kind: what the parser writes numbers into."""

    buffer: Literal["d", "i", "u"]
    dtype: np.dtype[np.generic]


_DOUBLE = np.dtype("f8")
_WIDE = {
    "f": _Wide("d", _DOUBLE),
    "i": _Wide("i", np.dtype("i8")),
    "u": _Wide("u", np.dtype("u8")),
}


def from_json(where: str, datatype: str, shape: tuple[int, ...], data: Any) -> Array:
    """The tensor that an input's `data` spells, flat or nested.

    where: the input, for the message of the InvalidRequest that is raised where
    something does not fit.
    """
    dtype = DTYPES[datatype]
    if datatype in NO_JSON_FORM:
        raise InvalidRequest(f"{where}.data: {datatype} has no JSON form; send it as binary data")
    if isinstance(data, simdjson.Array):
        if (wide := _WIDE.get(dtype.kind)) and len(data):
            try:
                flat = np.frombuffer(data.as_buffer(of_type=wide.buffer), wide.dtype)
            except (TypeError, ValueError) as error:
                raise _wrong_element(where, datatype, data.as_list()) from error
            return reshaped(where, _narrowed(where, datatype, flat, dtype), shape)
        data = data.as_list()
    if not isinstance(data, list):
        raise InvalidRequest(f"{where}.data: expected a list, got {kind_of(data)}")
    elements = _flatten(where, data)
    if not all(map(_ELEMENTS[dtype.kind], elements)):
        raise _wrong_element(where, datatype, elements)
    if dtype.hasobject:
        return reshaped(where, bytes_array([element.encode() for element in elements]), shape)
    try:
        flat = np.array(elements, dtype if dtype.kind == "b" else _WIDE[dtype.kind].dtype)
    except OverflowError as error:
        raise _wrong_element(where, datatype, elements) from error
    return reshaped(where, _narrowed(where, datatype, flat, dtype), shape)


def floats(data: simdjson.Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
    """`from_json` for a tensor of floating-point numbers that the numbers are known to fit.

    None where they do not, after all; `from_json` says why.
    """
    try:
        flat = np.frombuffer(data.as_buffer(of_type="d"), _DOUBLE)
        return flat.astype(dtype).reshape(shape)
    except (TypeError, ValueError, RuntimeWarning):
        return None


# numpy warns where a cast overflows, and makes an infinity. Here it is a caller's mistake;
# turning the warning into an error costs nothing where there is none.
warnings.filterwarnings(
    "error", "overflow encountered in cast", RuntimeWarning, re.escape(__name__)
)


def _narrowed(where: str, datatype: str, wide: Array, dtype: np.dtype[np.generic]) -> Array:
    """The numbers in their own type, which must be able to hold them."""
    if wide.dtype == dtype:
        return wide
    if dtype.kind == "f":
        try:
            return wide.astype(dtype)
        except RuntimeWarning:
            raise _wrong_element(where, datatype, wide.tolist()) from None
    narrow = wide.astype(dtype)
    if not np.array_equal(narrow, wide):
        raise _wrong_element(where, datatype, wide.tolist())
    return narrow


_ELEMENTS: dict[str, Callable[[Any], bool]] = {
    "b": lambda element: isinstance(element, bool),
    "i": lambda element: type(element) is int,
    "u": lambda element: type(element) is int and element >= 0,
    "f": lambda element: type(element) in (int, float),
    "O": lambda element: isinstance(element, str),
}


def _flatten(where: str, data: list[Any]) -> list[Any]:
    """The elements of nested lists, row by row."""
    while any(isinstance(element, list) for element in data):
        if not all(isinstance(element, list) for element in data):
            raise InvalidRequest(f"{where}.data: lists and elements are mixed")
        data = [element for part in data for element in part]
    return data


def _wrong_element(where: str, datatype: str, data: list[Any]) -> InvalidRequest:
    """Name the first element that has no place in a tensor of this type."""
    dtype = DTYPES[datatype]
    fits = _ELEMENTS[dtype.kind]
    elements = _flatten(where, data)
    for element in elements:
        if not fits(element):
            return InvalidRequest(
                f"{where}.data: expected {datatype} elements, got {kind_of(element)}"
            )
    # All are of the right kind, so one is out of range; NaN and the infinities never are.
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)  # type: ignore[type-var]
    python = float if dtype.kind == "f" else int  # numpy would round what it compares with
    low, high = python(limits.min), python(limits.max)
    number = next(e for e in elements if -inf < e < low or high < e < inf)
    return InvalidRequest(f"{where}.data: {datatype} holds {low} to {high}, got {kind_of(number)}")


def kind_of(value: Any) -> str:
    """A value as an error message shows it: never more than a few words of it."""
    if value is None:
        return "nothing"
    if isinstance(value, (simdjson.Array, list)):
        return "a list" if len(value) else "an empty list"
    if isinstance(value, (simdjson.Object, dict)):
        return "an object"
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"

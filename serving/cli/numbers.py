"""Numbers out of words, JSON and .npy files, and into a tensor's type without a loss."""

import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import Mistake
from .spec import Spec

Array = NDArray[Any]


class Numbers(NamedTuple):
    """Numbers, flat, and the shape in which they were written."""

    values: "Sequence[Any] | Array"
    shape: tuple[int, ...] | None
    """None where they were only written one after the other."""


def numbers_in_text(text: str, name: str, takes: str) -> Numbers:
    """Numbers with blanks or commas between them, or a JSON list of any depth.

    name and takes: where they stand, and what was wanted, for the Mistake that is raised.
    """
    if text.lstrip().startswith("["):
        return _listed(text, name, takes)
    values = [_number(token, name, takes) for token in re.split(r"[,;\s]+", text) if token]
    if not values:
        raise Mistake(f"{name} has no numbers. {takes}.")
    return Numbers(values, None)


def numbers_of_file(content: bytes, name: str, takes: str) -> Numbers:
    """The same, or an .npy file's, told apart by how the file begins."""
    if content.startswith(b"\x93NUMPY"):
        try:
            array: Array = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise Mistake(f"{name} cannot be read as an .npy file: {error}.") from error
        if array.dtype.kind not in "biuf":
            raise Mistake(f"{name} holds {array.dtype}, not numbers. {takes}.")
        return Numbers(array.ravel(), array.shape)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistake(
            f"{name} is neither numbers, JSON, an .npy file nor an image. {takes}."
        ) from error
    return numbers_in_text(text, name, takes)


def _number(token: str, name: str, takes: str) -> Any:
    if token.lower() in ("true", "false"):
        return token.lower() == "true"
    for read in (int, float):
        try:
            return read(token)
        except ValueError:
            continue
    shown = token if len(token) <= 40 else f"{token[:40]}…"
    hint = "" if name == repr(shown) else f" in {name}"
    raise Mistake(f"{shown!r}{hint} is not a number. {takes}. A file is given as @FILE.")


def _listed(text: str, name: str, takes: str) -> Numbers:
    try:
        nested = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Mistake(f"{name} is not valid JSON: {error}.") from error
    shape: list[int] = []
    level = nested
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    flat: list[Any] = [nested]
    for size in shape:
        if not all(isinstance(part, list) and len(part) == size for part in flat):
            raise Mistake(f"{name} has lists of different lengths side by side. {takes}.")
        flat = [element for part in flat for element in part]
    for element in flat:
        if not isinstance(element, (int, float)):
            shown = json.dumps(element)[:40]
            raise Mistake(f"{name} has {shown} where a number should be. {takes}.")
    return Numbers(flat, tuple(shape))


def cast(spec: Spec, values: "Sequence[Any] | Array") -> Array:
    """The numbers in the input's type; raises Mistake for one that has no place in it."""
    dtype = spec.dtype
    if isinstance(values, np.ndarray):
        with np.errstate(all="ignore"):
            array = values.astype(dtype)
        same = np.isinf(array) == np.isinf(values) if dtype.kind == "f" else array == values
        if not same.all():
            raise _no_place(spec, values[~same][0].item())
        return array
    convert = _CONVERT[dtype.kind]
    converted = []
    for value in values:
        try:
            converted.append(convert(value))
        except (ValueError, OverflowError) as error:
            raise _no_place(spec, value) from error
    if dtype.kind == "f":
        return (
            cast(spec, np.array(converted, np.float64))
            if dtype.itemsize < 8
            else np.array(converted, dtype)
        )
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = int(limits.min), int(limits.max)
        for value in converted:
            if not low <= value <= high:
                raise _no_place(spec, value)
    return np.array(converted, dtype)


def _whole(value: Any) -> int:
    if value != int(value):
        raise ValueError
    return int(value)


def _truth(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError
    return bool(value)


_CONVERT: dict[str, Callable[[Any], Any]] = {"b": _truth, "i": _whole, "u": _whole, "f": float}


def _no_place(spec: Spec, value: Any) -> Mistake:
    if spec.dtype.kind == "b":
        wanted = "is true or false"
    elif spec.dtype.kind in "iu":
        limits = np.iinfo(spec.dtype)
        wanted = f"holds whole numbers from {limits.min} to {limits.max}"
    else:
        wanted = f"holds numbers up to {float(np.finfo(spec.dtype).max):.5g}"
    shown = str(value) if len(str(value)) <= 40 else f"{str(value)[:40]}…"
    return Mistake(f"{shown} does not fit: {spec.datatype} {wanted}. {spec.takes()}.")

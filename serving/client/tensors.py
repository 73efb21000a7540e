"""What Python has to the tensors that a model takes, and back. Pure.

Values go into a model's type where nothing is lost by it: whole numbers exactly, others
rounded as the type rounds, but never to infinity.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..protocol.datatypes import DTYPES, bytes_array, reshaped, tensor_from_bytes, tensor_to_bytes
from .errors import InvalidRequest
from .metadata import TensorSpec

Array = NDArray[Any]

_BITS: Final = np.dtype("<u2")
_FLOAT: Final = np.dtype("<f4")


def tensor_of(spec: TensorSpec, value: Any) -> Array:
    """The value in the type of a model's input, contiguous. Its shape is its own.

    Raises InvalidRequest for what does not fit into the type.
    """
    dtype = DTYPES.get(spec.datatype)
    if dtype is None:
        raise InvalidRequest(f"input {spec.name!r} is {spec.datatype}, a type that is unknown here")
    if dtype.hasobject:
        return _texts(spec, value)
    if isinstance(value, np.ndarray) and value.dtype == dtype:
        return np.asarray(value, order="C")  # ascontiguousarray makes a vector of a number
    if spec.datatype != "BF16":
        return _in_type(spec, _numbers(spec, value, exact=dtype.kind in "iu"), dtype)
    floats = _in_type(spec, _numbers(spec, value, exact=False), _FLOAT)
    rounded = _to_bfloat16(floats)
    if np.any(np.isinf(_from_bfloat16(rounded)) & np.isfinite(floats)):
        raise _lost(spec)
    return rounded.view(dtype)


def as_bytes(tensor: Array) -> "bytes | Array":
    """A tensor's serialized form; the array itself where that is what its memory holds."""
    return tensor_to_bytes(tensor) if tensor.dtype.hasobject else tensor


def array_of(where: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Array:
    """The array in a reply's bytes, a copy. BF16 comes as float32, as numpy has no other.

    Raises the protocol's InvalidRequest if they are not what they should be.
    """
    tensor = tensor_from_bytes(where, datatype, shape, data)
    if datatype == "BF16":
        return _from_bfloat16(tensor.view(_BITS))
    # The bytes lie where the JSON before them ends: as they are, they would be unaligned,
    # read-only, and keep the whole reply alive.
    return tensor.copy()


def array_of_json(where: str, datatype: str, shape: tuple[int, ...], data: Any) -> Array:
    """The array in a reply's JSON. Raises as array_of does, ValueError, TypeError or their like."""
    if datatype == "BYTES":
        flat = bytes_array([element.encode() for element in data])
    else:
        flat = np.array(data, _FLOAT if datatype == "BF16" else DTYPES[datatype]).ravel()
    return reshaped(where, flat, shape)


def _texts(spec: TensorSpec, value: Any) -> Array:
    # Given as they are, or numpy would cut zeros off the ends of bytes.
    array = value if isinstance(value, np.ndarray) else np.array(value, np.object_)
    elements = [_text(spec, element) for element in array.ravel().tolist()]
    return bytes_array(elements).reshape(array.shape)


def _text(spec: TensorSpec, element: Any) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        try:
            return element.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"input {spec.name!r} has a text that is no Unicode: {error.reason}"
            ) from error
    raise InvalidRequest(
        f"input {spec.name!r} is BYTES and takes str or bytes, got {type(element).__name__}"
    )


def _numbers(spec: TensorSpec, value: Any, *, exact: bool) -> Array:
    """Numbers as numpy has them; as Python's own where numpy would round them on the way."""
    try:
        array = np.asarray(value)
        if exact and array.dtype.kind == "f" and not isinstance(value, np.ndarray):
            array = np.array(value, np.object_)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidRequest(
            f"input {spec.name!r} cannot be made an array: {_first_line(error)}"
        ) from error
    if array.dtype.name == "bfloat16":  # of ml_dtypes, which frameworks bring
        return array.astype(_FLOAT)
    if array.dtype.kind == "O":
        # bool is an int, and numpy's numbers are none of Python's.
        others = {
            type(element)
            for element in array.ravel().tolist()
            if not isinstance(element, (int, float, np.number, np.bool_))
        }
    else:
        others = set() if array.dtype.kind in "biuf" else {array.dtype.type}
    if others:
        raise InvalidRequest(
            f"input {spec.name!r} is {spec.datatype} and takes numbers, "
            f"got {', '.join(sorted(kind.__name__.rstrip('_') for kind in others))}"
        )
    return array


def _in_type(spec: TensorSpec, array: Array, dtype: np.dtype[Any]) -> Array:
    if array.dtype.kind == "O":
        return _in_type_each(spec, array.ravel().tolist(), dtype).reshape(array.shape)
    if array.size and not _fits(array, dtype):
        raise _lost(spec)
    with np.errstate(all="ignore"):
        converted = array.astype(dtype, order="C")
    if dtype.kind == "f" and np.any(np.isinf(converted) & ~np.isinf(array)):
        raise _lost(spec)
    return converted


def _fits(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether what is to become whole numbers, or true and false, are that, and in range."""
    if dtype.kind == "f" or array.dtype.kind == "b":
        return True
    if array.dtype.kind == "f" and not np.all(np.isfinite(array) & (array == np.floor(array))):
        return False
    # As Python's: numpy compares 64 bits with and without sign as floats.
    low, high = int(array.min()), int(array.max())
    if dtype.kind == "b":
        return low >= 0 and high <= 1
    limits = np.iinfo(dtype)
    return int(limits.min) <= low and high <= int(limits.max)


def _in_type_each(spec: TensorSpec, elements: Iterable[Any], dtype: np.dtype[Any]) -> Array:
    """The same for Python's numbers, which may be of any size."""
    try:
        if dtype.kind == "f":
            return _in_type(spec, np.array([float(element) for element in elements], "f8"), dtype)
        whole = [int(element) for element in elements]
        if all(map(_same, whole, elements)):
            limits = (0, 1) if dtype.kind == "b" else _limits(dtype)
            if all(limits[0] <= number <= limits[1] for number in whole):
                return np.array(whole, dtype)
    except (OverflowError, ValueError):
        pass  # infinity and NaN are no whole numbers
    raise _lost(spec)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _to_bfloat16(floats: Array) -> Array:
    """The upper halves, rounded to nearest, of two that are equally near to even."""
    bits = floats.view("<u4")
    # A carry out of the lower half rounds up. NaN must not be carried into something else.
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype("<u4")) >> 16
    return np.where(np.isnan(floats), 0x7FC0, rounded).astype(_BITS)


def _from_bfloat16(halves: Array) -> Array:
    wide = halves.astype("<u4") << 16
    return np.asarray(wide, "<u4").view(_FLOAT)


def _lost(spec: TensorSpec) -> InvalidRequest:
    return InvalidRequest(
        f"input {spec.name!r} is {spec.datatype}, and a number was given that has no place in it"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

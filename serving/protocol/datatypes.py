"""The protocol's names for types of elements, and their bytes.

Serialized tensors are little-endian, row by row, without padding. Elements of
BYTES have a four-byte length before each.
"""

import struct
from math import prod

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidRequest

Array = NDArray[np.generic]

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""The upper half of a float32, which numpy has no number for: its bits, under a name of their own,
so that they are never taken for integers."""

DTYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(np.object_),
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def datatype_of(dtype: np.dtype[np.generic]) -> str:
    """The protocol's name for a numpy type."""
    return NAMES[dtype]


def tensor_from_bytes(where: str, datatype: str, shape: tuple[int, ...], data: memoryview) -> Array:
    """A tensor from its serialized bytes, without copying them (BYTES excepted)."""
    dtype = DTYPES[datatype]
    if dtype.hasobject:
        return _bytes_elements(where, shape, data)
    expected = prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise InvalidRequest(
            f"{where}: shape {list(shape)} of {datatype} takes {expected} bytes, got {len(data)}"
        )
    if dtype.kind == "b" and (largest := np.frombuffer(data, "u1").max(initial=0)) > 1:
        raise InvalidRequest(f"{where}: {datatype} takes the bytes 0 and 1, got {largest}")
    return reshaped(where, np.frombuffer(data, dtype), shape)


def reshaped(where: str, flat: Array, shape: tuple[int, ...]) -> Array:
    """The elements in their shape; InvalidRequest if their counts differ."""
    if flat.size != prod(shape):
        raise InvalidRequest(
            f"{where}: shape {list(shape)} takes {prod(shape)} elements, got {flat.size}"
        )
    try:
        return flat.reshape(shape)
    except ValueError as error:  # no element, and a size beyond what an array can have
        raise InvalidRequest(f"{where}: shape {list(shape)} is too large") from error


def _bytes_elements(where: str, shape: tuple[int, ...], data: memoryview) -> Array:
    elements: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        if at + 4 > end:
            raise InvalidRequest(f"{where}: the length of element {len(elements)} is cut off")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if at + length > end:
            raise InvalidRequest(
                f"{where}: element {len(elements)} is {length} bytes long, but {end - at} are left"
            )
        elements.append(bytes(data[at : at + length]))
        at += length
    return reshaped(where, bytes_array(elements), shape)


def bytes_array(elements: list[bytes]) -> Array:
    """A flat array of byte strings."""
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array


def tensor_to_bytes(tensor: Array) -> bytes:
    """A tensor's serialized bytes."""
    if not tensor.dtype.hasobject:
        return tensor.tobytes()
    parts: list[bytes] = []
    for element in tensor.ravel().tolist():
        parts += (struct.pack("<I", len(element)), element)
    return b"".join(parts)

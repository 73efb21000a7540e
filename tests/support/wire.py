"""Requests as a client writes them and replies as it reads them, without the code under test."""

import json
import struct
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from numpy.typing import NDArray

Array = NDArray[Any]

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties: a busy machine is no failure."""

NUMPY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "BF16": [("bfloat16", "<u2")],
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
}
BINARY_ONLY = ("FP16", "BF16")
"""What JSON has no form for."""


def tensor(
    datatype: str = "FP32", shape: Any = (1,), data: Any = None, name: Any = "x", **more: Any
) -> dict[str, Any]:
    """One input; without `data` where that is None."""
    given = {} if data is None else {"data": data}
    return {"name": name, "datatype": datatype, "shape": shape, **given, **more}


def request(*inputs: Any, **more: Any) -> bytes:
    """A request's JSON."""
    return json.dumps({"inputs": list(inputs), **more}).encode()


def binary_tensor(datatype: str, shape: Any, size: Any, name: str = "x") -> dict[str, Any]:
    """One input whose data follows the JSON."""
    return tensor(datatype, shape, name=name, parameters={"binary_data_size": size})


def followed(text: bytes, *blobs: bytes) -> tuple[bytes, int]:
    """A body and its Inference-Header-Content-Length."""
    return b"".join((text, *blobs)), len(text)


def serialized(array: Array) -> bytes:
    """The protocol's bytes of a tensor."""
    if array.dtype.hasobject:
        return b"".join(struct.pack("<I", len(item)) + item for item in array.ravel())
    return array.tobytes()


def listed(array: Array) -> list[Any]:
    """A tensor's elements as JSON has them, flat."""
    elements = array.ravel().tolist()
    return [item.decode() for item in elements] if array.dtype.hasobject else elements


def arrays(datatype: str, *, text: bool = False) -> st.SearchStrategy[Array]:
    """Any tensor of a type, without elements and without dimensions too.

    text: BYTES are UTF-8, as they must be in JSON.
    """
    shapes = nps.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    if datatype != "BYTES":
        return nps.arrays(NUMPY[datatype], shapes)
    elements = st.text().map(str.encode) if text else st.binary()
    return nps.arrays(object, shapes, elements=elements, fill=st.nothing())


def assert_same(got: Array, expected: Array) -> None:
    """Equal in type, shape and elements; NaN is equal to NaN."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)

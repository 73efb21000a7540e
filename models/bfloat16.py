"""bfloat16: the upper half of a float32, for which numpy has no type.

Such tensors hold the bits, under a type of their own that no integer is taken for.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BFLOAT16 = np.dtype([("bfloat16", "<u2")])


def to_bfloat16(values: Any) -> NDArray[Any]:
    """Numbers, rounded to the nearest bfloat16; of two that are equally near, to the even one."""
    floats = np.asarray(values, "<f4", order="C")
    bits = floats.view("<u4")
    # A carry out of the lower half rounds up. NaN must not be carried into something else.
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype("<u4")) >> 16
    upper = np.where(np.isnan(floats), 0x7FC0, rounded).astype("<u2")
    return upper.view(BFLOAT16)


def to_float32(tensor: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers of a tensor of bfloat16, exactly."""
    return (np.asarray(tensor, order="C").view("<u2").astype("<u4") << 16).view("<f4")

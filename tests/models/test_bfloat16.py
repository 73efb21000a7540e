"""Numbers to bfloat16 and back, compared with a library that has them."""

import ml_dtypes
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from models.bfloat16 import BFLOAT16, to_bfloat16, to_float32
from models.signature import Signature, TensorSpec, sample
from tests.support import wire

floats = nps.arrays(
    "<f4", nps.array_shapes(min_dims=0, max_dims=3, min_side=0), elements=st.floats(width=32)
)


@wire.patient
@given(floats)
def test_numbers_are_rounded_as_they_should_be(values):
    with np.errstate(over="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).astype("f4")

    tensor = to_bfloat16(values)

    assert tensor.dtype == BFLOAT16
    wire.assert_same(to_float32(tensor), expected)


def test_half_way_is_rounded_to_even():
    bits = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F800001, 0xFFFFFFFF], "<u4")

    upper = to_bfloat16(bits.view("<f4")).view("<u2")

    assert upper.tolist() == [0x3F80, 0x3F82, 0x3F81, 0x7FC0, 0x7FC0]


def test_a_signature_with_bfloat16_is_checked_and_told_by_its_name():
    spec = TensorSpec("x", BFLOAT16, ("batch", 2))
    signature = Signature((spec,), (spec,))

    tensors = sample(signature, 3)

    assert str(spec) == "x: bfloat16 [batch, 2]"
    assert to_float32(tensors["x"]).tolist() == [[1, 1]] * 3
    given_ = sample(signature, 1, {"x": [0.5, -2]})
    assert to_float32(given_["x"]).tolist() == [[0.5, -2]]

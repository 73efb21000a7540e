"""Serialized tensors: bytes to arrays and back."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.protocol import InvalidRequest, datatype_of
from serving.protocol.datatypes import DTYPES, bytes_array, tensor_from_bytes, tensor_to_bytes
from tests.support import wire

each_datatype = pytest.mark.parametrize("datatype", wire.NUMPY)


def read(datatype: str, shape: tuple[int, ...], data: bytes) -> wire.Array:
    return tensor_from_bytes("inputs[0]", datatype, shape, memoryview(data))


def test_the_datatypes_are_the_protocols():
    assert {name: np.dtype(code) for name, code in wire.NUMPY.items()} == DTYPES


@each_datatype
def test_every_datatype_has_its_name_back(datatype):
    assert datatype_of(np.dtype(wire.NUMPY[datatype])) == datatype


@each_datatype
@wire.patient
@given(data=st.data())
def test_any_tensor_comes_back_from_its_bytes(datatype, data):
    array = data.draw(wire.arrays(datatype))

    serialized = tensor_to_bytes(array)

    assert serialized == wire.serialized(array)
    wire.assert_same(read(datatype, array.shape, serialized), array)


@pytest.mark.parametrize("datatype", [name for name in wire.NUMPY if name != "BYTES"])
def test_numbers_are_little_endian_row_by_row_without_a_copy(datatype):
    data = memoryview(np.array([[1, 0, 1], [0, 1, 1]], wire.NUMPY[datatype]).tobytes())

    tensor = tensor_from_bytes("inputs[0]", datatype, (2, 3), data)

    assert tensor.tobytes() == bytes(data)
    assert tensor.shape == (2, 3)
    assert np.may_share_memory(tensor, np.frombuffer(data, "u1"))


def test_a_tensor_that_is_a_view_is_written_in_its_own_order():
    array = np.arange(12, dtype="<i4").reshape(3, 4).T[::2]

    assert tensor_to_bytes(array) == struct.pack("<6i", 0, 4, 8, 2, 6, 10)


def test_byte_strings_may_be_empty_hold_nul_and_be_no_text():
    elements = [b"", b"a\0b", b"\xff\xfe", "ü€😀".encode()]
    array = bytes_array(elements).reshape(2, 2)

    again = read("BYTES", (2, 2), wire.serialized(array))

    assert again.ravel().tolist() == elements


# --- abuse


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_bytes_that_are_not_the_shapes(size):
    with pytest.raises(InvalidRequest) as refused:
        read("FP32", (1, 2), bytes(size))

    assert str(refused.value) == f"inputs[0]: shape [1, 2] of FP32 takes 8 bytes, got {size}"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x01\0\0", "the length of element 0 is cut off"),
        (b"\0\0\0\0\x01", "the length of element 1 is cut off"),
        (b"\x02\0\0\0a", "element 0 is 2 bytes long, but 1 are left"),
        (b"\xff\xff\xff\xff", "element 0 is 4294967295 bytes long, but 0 are left"),
        (b"", "shape [1] takes 1 elements, got 0"),
        (b"\0\0\0\0" * 2, "shape [1] takes 1 elements, got 2"),
    ],
)
def test_byte_strings_that_are_cut_off_or_miscounted(data, says):
    with pytest.raises(InvalidRequest) as refused:
        read("BYTES", (1,), data)

    assert str(refused.value) == f"inputs[0]: {says}"


def test_a_bool_is_0_or_1():
    """Any other byte is a bool to numpy that equals neither True nor False."""
    with pytest.raises(InvalidRequest) as refused:
        read("BOOL", (3,), b"\0\1\2")

    assert str(refused.value) == "inputs[0]: BOOL takes the bytes 0 and 1, got 2"


@pytest.mark.parametrize("shape", [(2**62, 4), (2**63 - 1,) * 32, (2**32, 2**32)])
def test_a_product_of_sizes_that_overflows_is_still_compared(shape):
    """Lesson 28: 2**64 elements are not none."""
    with pytest.raises(InvalidRequest):
        read("UINT8", shape, b"")


@each_datatype
def test_no_elements_in_a_shape_of_any_other_size(datatype):
    assert read(datatype, (0, 10**6), b"").shape == (0, 10**6)
    with pytest.raises(InvalidRequest, match="is too large"):
        read(datatype, (0, 2**62, 4), b"")
    with pytest.raises(InvalidRequest, match="is too large"):
        read(datatype, (0, 2**64), b"")

"""Tensors to a reply's bytes, read back as a client reads them."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.protocol import Encoded, InferRequest, InvalidRequest, RequestedOutput, encode
from tests.support import wire

Y = {"y": np.array([[1, 2], [3, 4]], "<i4")}
HALF = np.frombuffer(b"\x80\x3f", wire.NUMPY["BF16"])
TWO = {"y": np.ones(1, "f4"), "z": np.zeros(1, "i1")}

IN_JSON = [name for name in wire.NUMPY if name not in wire.BINARY_ONLY]


def write(tensors: dict[str, wire.Array], **request: object) -> Encoded:
    return encode("m", "1", InferRequest({}, **request), tensors)  # type: ignore[arg-type]


def parsed(encoded: Encoded) -> tuple[dict, bytes]:
    """The JSON and what follows it."""
    length = len(encoded.body) if encoded.json_length is None else encoded.json_length
    return json.loads(encoded.body[:length]), encoded.body[length:]


def test_a_reply_is_as_the_protocol_spells_it():
    """Lesson 25: `data` is flat, the version is a text, no `parameters` without binary data."""
    reply, rest = parsed(write(Y))

    assert reply == {
        "model_name": "m",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "INT32", "shape": [2, 2], "data": [1, 2, 3, 4]}],
    }
    assert rest == b""


def test_binary_data_follows_the_json_in_the_outputs_order():
    encoded = write(TWO, binary_outputs=True)
    reply, rest = parsed(encoded)

    assert encoded.json_length is not None
    assert reply["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
        {"name": "z", "datatype": "INT8", "shape": [1], "parameters": {"binary_data_size": 1}},
    ]
    assert rest == struct.pack("<fb", 1, 0)


@pytest.mark.parametrize("name", ["ü€😀", 'quo"te', "back\\slash", "a\nb"])
def test_names_and_ids_are_any_text(name):
    reply, _ = parsed(encode(name, "1", InferRequest({}, id=name), {name: Y["y"]}))

    assert (reply["model_name"], reply["id"], reply["outputs"][0]["name"]) == (name,) * 3


def test_an_empty_id_is_no_id():
    assert "id" not in parsed(write(Y, id=""))[0]


@pytest.mark.parametrize("default", [False, True])
@pytest.mark.parametrize("own", [None, False, True])
def test_an_output_says_how_it_is_sent_else_the_request_does(default, own):
    encoded = write(Y, binary_outputs=default, outputs=[RequestedOutput("y", own)])
    (output,) = parsed(encoded)[0]["outputs"]

    binary = default if own is None else own
    assert ("data" in output) is not binary
    assert ("parameters" in output) is binary
    assert (encoded.json_length is not None) is binary


def test_one_output_as_bytes_and_another_as_json():
    wanted = [RequestedOutput("z", True), RequestedOutput("y", False)]
    reply, rest = parsed(write(TWO, outputs=wanted))

    assert [output["name"] for output in reply["outputs"]] == ["z", "y"]
    assert reply["outputs"][0]["parameters"] == {"binary_data_size": 1}
    assert reply["outputs"][1]["data"] == [1.0]
    assert rest == b"\0"


def test_only_what_was_asked_for():
    reply, _ = parsed(write(TWO, outputs=[RequestedOutput("z", None)]))

    assert [output["name"] for output in reply["outputs"]] == ["z"]


def test_binary_outputs_without_a_byte_leave_a_body_of_json():
    encoded = write({"y": np.empty((0, 3), "f4")}, binary_outputs=True)

    assert encoded.json_length is None
    (output,) = parsed(encoded)[0]["outputs"]
    assert output["shape"] == [0, 3]
    assert output["parameters"] == {"binary_data_size": 0}


def test_bare_words_for_what_json_has_no_number_for():
    """Triton's clients read them."""
    body = write({"y": np.array([1.5, np.nan, np.inf, -np.inf], "f4")}).body

    assert b'"data":[1.5, NaN, Infinity, -Infinity]' in body


def test_the_word_null_in_a_text_is_a_text():
    values = np.array([b"null", b"NaN"], object)

    assert parsed(write({"y": values}))[0]["outputs"][0]["data"] == ["null", "NaN"]


def test_a_tensor_that_is_a_view_is_written_in_its_own_order():
    view = np.arange(12, dtype="f4").reshape(3, 4).T[::2]

    assert parsed(write({"y": view}))[0]["outputs"][0]["data"] == [0, 4, 8, 2, 6, 10]


@pytest.mark.parametrize("datatype", wire.NUMPY)
@wire.patient
@given(data=st.data())
def test_any_tensor_is_read_back_from_bytes(datatype, data):
    array = data.draw(wire.arrays(datatype))

    reply, rest = parsed(write({"y": array}, binary_outputs=True))

    (output,) = reply["outputs"]
    assert (output["datatype"], tuple(output["shape"])) == (datatype, array.shape)
    assert output["parameters"] == {"binary_data_size": len(rest)}
    assert rest == wire.serialized(array)


@pytest.mark.parametrize("datatype", IN_JSON)
@wire.patient
@given(data=st.data())
def test_any_tensor_is_read_back_from_json(datatype, data):
    array = data.draw(wire.arrays(datatype, text=True))

    (output,) = parsed(write({"y": array}))[0]["outputs"]

    assert list(output) == ["name", "datatype", "shape", "data"]
    assert (output["datatype"], tuple(output["shape"])) == (datatype, array.shape)
    elements = output["data"]
    if datatype == "BYTES":
        elements = [text.encode() for text in elements]
    wire.assert_same(np.array(elements, array.dtype).reshape(array.shape), array)


# --- abuse


def test_an_output_that_the_model_has_not():
    with pytest.raises(InvalidRequest) as refused:
        write(Y, outputs=[RequestedOutput("q", None)])

    assert str(refused.value) == "unexpected output \"q\": the model's outputs are ['y']"


def test_an_output_with_a_name_of_a_megabyte():
    with pytest.raises(InvalidRequest) as refused:
        write(Y, outputs=[RequestedOutput("q" * 2**20, None)])

    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.ones(1, "f2"), "output 'y' is FP16, which has no JSON form; ask for binary data"),
        (HALF, "output 'y' is BF16, which has no JSON form; ask for binary data"),
        (np.array([b"\xff"], object), "output 'y' is not UTF-8 text; ask for binary data"),
    ],
)
def test_an_output_that_has_no_json_form(values, says):
    with pytest.raises(InvalidRequest) as refused:
        write({"y": values})

    assert str(refused.value) == says
    assert write({"y": values}, binary_outputs=True).json_length is not None

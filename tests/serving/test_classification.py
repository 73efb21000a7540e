"""The largest elements as texts, compared with a plain sort."""

import json
from math import isnan, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from serving.protocol import InferRequest, InvalidRequest, ModelOutputs, RequestedOutput, encode
from serving.protocol.classification import CLASSIFIABLE, classified, labels_in
from tests.support import wire


def plainly(row: np.ndarray, most: int) -> list[bytes]:
    """What should come out for one row."""
    numbers = row.ravel().tolist()
    order = sorted(range(len(numbers)), key=lambda i: (isnan(numbers[i]), -numbers[i], i))
    form = "{:f}" if row.dtype.kind == "f" else "{:d}"
    return [f"{form.format(numbers[i])}:{i}".encode() for i in order[:most]]


def test_the_references_own_example():
    scores = np.zeros((1, 1000), "f4")
    scores[0, 504], scores[0, 7] = 0.826383, 0.1

    assert classified("y", scores, 2).tolist() == [[b"0.826383:504", b"0.100000:7"]]


@wire.patient
@given(data=st.data())
def test_any_tensor_is_classified_as_a_plain_sort_does_it(data):
    dtype = wire.NUMPY[data.draw(st.sampled_from(CLASSIFIABLE))]
    shapes = nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
    few = st.sampled_from([0, 1, 2]) if data.draw(st.booleans()) else None
    tensor = data.draw(nps.arrays(dtype, shapes, elements=few))
    most, batched = (
        data.draw(st.integers(1, 2**64 - 1) | st.integers(1, 6)),
        data.draw(st.booleans()),
    )

    texts = classified("y", tensor, most, batched=batched)

    if batched and tensor.ndim:
        assert texts.shape == (len(tensor), min(most, prod(tensor.shape[1:])))
        assert texts.tolist() == [plainly(row, most) for row in tensor]
    else:
        assert texts.shape == (min(most, tensor.size),)
        assert texts.tolist() == plainly(tensor, most)


@wire.patient
@given(data=st.data())
def test_wide_rows_are_not_sorted_whole_and_come_out_the_same(data):
    kinds = {"f4": st.floats(width=32), "i1": st.integers(-2, 2), "u8": st.integers(0, 2**64 - 1)}
    dtype = data.draw(st.sampled_from(sorted(kinds)))
    tensor = data.draw(nps.arrays(dtype, (2, 300), elements=kinds[dtype]))
    most = data.draw(st.integers(1, 301))

    assert classified("y", tensor, most).tolist() == [plainly(row, most) for row in tensor]


def test_equals_come_by_their_index_and_nan_last():
    scores = np.array([np.nan, 1, -np.inf, np.inf, 1], "f8")

    assert classified("y", scores, 9, batched=False).tolist() == [
        b"inf:3",
        b"1.000000:1",
        b"1.000000:4",
        b"-inf:2",
        b"nan:0",
    ]
    assert classified("y", np.full((1, 999), np.nan, "f4"), 2).tolist() == [[b"nan:0", b"nan:1"]]


def test_labels_are_written_where_there_are_some():
    texts = classified("y", np.array([[3, 9, 5]], "i4"), 3, ["cat", "ein Hündchen"])

    assert texts.tolist() == [[b"9:1:ein H\xc3\xbcndchen", b"5:2", b"3:0:cat"]]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("cat\ndog\n", ["cat", "dog"]),
        ("\ufeffcat \r\ndog", ["cat", "dog"]),
        ("a:b\n\nc\n\n", ["a:b", "", "c"]),
        ("", []),
    ],
)
def test_a_file_of_labels(text, labels):
    assert labels_in(text) == labels


# --- in a reply

SCORES = {"y": np.array([[0.25, 0.5], [1, -1]], "f4"), "z": np.ones(2, "f4")}
MODEL = ModelOutputs({"y": "FP32", "z": "FP32"}, labels={"y": ["no", "yes"]})
TEXTS = ["0.500000:1:yes", "1.000000:0:no"]


@pytest.mark.parametrize("binary", [False, True])
def test_texts_take_the_outputs_place_as_json_and_as_bytes(binary):
    outputs = [RequestedOutput("y", binary, classification=1), RequestedOutput("z", False)]

    body, length = encode("m", "1", InferRequest({}, outputs=outputs), SCORES, MODEL)

    reply = json.loads(body[: len(body) if length is None else length])
    first, second = reply["outputs"]
    assert (first["datatype"], first["shape"]) == ("BYTES", [2, 1])
    if binary:
        assert body[length:] == wire.serialized(np.array([text.encode() for text in TEXTS], object))
    else:
        assert first["data"] == TEXTS
    assert second["data"] == [1, 1]


def test_a_model_that_takes_no_batches_has_no_rows():
    asked = InferRequest({}, outputs=[RequestedOutput("y", False, classification=2)])
    model = ModelOutputs({"y": "FP32"}, batched=False)

    (output,) = json.loads(encode("m", "1", asked, SCORES, model).body)["outputs"]

    assert (output["shape"], output["data"]) == ([2], ["1.000000:2", "0.500000:1"])


# --- abuse


@pytest.mark.parametrize("datatype", sorted(set(wire.NUMPY) - set(CLASSIFIABLE)))
def test_a_type_that_has_no_order_worth_telling(datatype):
    with pytest.raises(InvalidRequest, match=f"'y' is {datatype}, which cannot be classified"):
        classified("y", np.empty(2, wire.NUMPY[datatype]), 1)


def test_more_elements_than_are_classified():
    with pytest.raises(InvalidRequest, match="has 1000001 elements; at most 1000000 are"):
        classified("y", np.zeros((1, 1_000_001), "i1"), 1)
    assert classified("y", np.zeros((1, 1_000_000), "i1"), 1).tolist() == [[b"0:0"]]

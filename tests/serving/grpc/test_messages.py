"""Messages to tensors and back."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.grpc.generated import inference_pb2 as pb
from serving.grpc.messages import CONTENTS, decode, encode
from serving.protocol import InvalidRequest, ModelOutputs
from tests.support import wire


def tensor(datatype="FP32", shape=(2,), name="x", **contents):
    given = {"contents": contents} if contents else {}
    return {"name": name, "datatype": datatype, "shape": shape, **given}


def request(*inputs, **more):
    return pb.ModelInferRequest(inputs=inputs, **more)


def classify(**most):
    """A request for some of y's largest elements."""
    return request(
        tensor(fp32_contents=[1, 2]),
        outputs=[{"name": "y", "parameters": {"classification": most}}],
    )


@given(st.sampled_from(sorted(wire.NUMPY)).flatmap(lambda t: st.tuples(st.just(t), wire.arrays(t))))
@wire.patient
def test_raw_bytes_become_the_tensor_that_they_are(case):
    datatype, array = case
    message = request(tensor(datatype, array.shape), raw_input_contents=[wire.serialized(array)])
    wire.assert_same(decode(message).inputs["x"], array)


@given(st.sampled_from(sorted(CONTENTS)).flatmap(lambda t: st.tuples(st.just(t), wire.arrays(t))))
@wire.patient
def test_typed_elements_become_the_tensor_that_they_are(case):
    datatype, array = case
    message = request(
        tensor(datatype, array.shape, **{CONTENTS[datatype].name: array.ravel().tolist()})
    )
    wire.assert_same(decode(message).inputs["x"], array)


@given(st.sampled_from(sorted(wire.NUMPY)).flatmap(lambda t: st.tuples(st.just(t), wire.arrays(t))))
@wire.patient
def test_outputs_are_always_raw(case):
    datatype, array = case

    reply = encode("m", "3", decode(request(tensor(fp32_contents=[1, 2]), id="7")), {"y": array})

    assert (reply.model_name, reply.model_version, reply.id) == ("m", "3", "7")
    (output,) = reply.outputs
    assert (output.name, output.datatype) == ("y", datatype)
    assert tuple(output.shape) == array.shape
    assert not output.HasField("contents")
    assert list(reply.raw_output_contents) == [wire.serialized(array)]


OUTPUTS = {"a": np.zeros(1, "f4"), "b": np.ones(2, "i8")}


def names(*asked):
    message = request(tensor(fp32_contents=[1, 2]), outputs=[{"name": name} for name in asked])
    return [output.name for output in encode("m", "1", decode(message), OUTPUTS).outputs]


def test_the_outputs_that_were_asked_for():
    assert names() == ["a", "b"]
    assert names("b") == ["b"]
    assert names("b", "a") == ["b", "a"]
    with pytest.raises(InvalidRequest, match='unexpected output "c"'):
        names("c")
    with pytest.raises(InvalidRequest, match='"a" is there twice'):
        names("a", "a")


@pytest.mark.parametrize("kind", ["int64_param", "uint64_param"])
def test_priority_and_timeout(kind):
    parameters = {"priority": {kind: 2}, "timeout": {"int64_param": 1500}}
    got = decode(request(tensor(fp32_contents=[1, 2]), parameters=parameters))
    assert (got.priority, got.timeout_s) == (2, 0.0015)


def test_neither_is_there_unless_it_is_said():
    message = request(tensor(fp32_contents=[1, 2]), parameters={"timeout": {"int64_param": 0}})
    got = decode(message)
    assert (got.priority, got.timeout_s) == (0, None)
    assert "priority" not in message.parameters


def test_the_largest_elements_instead_of_all_of_them():
    asked = decode(classify(int64_param=2))
    model = ModelOutputs({"y": "FP32"}, labels={"y": ["cat", "dog", "owl"]})

    reply = encode("m", "1", asked, {"y": np.array([[1, 3, 2]], "f4")}, model)

    (output,) = reply.outputs
    assert (output.datatype, list(output.shape)) == ("BYTES", [1, 2])
    texts = [b"3.000000:1:dog", b"2.000000:2:owl"]
    assert list(reply.raw_output_contents) == [wire.serialized(np.array(texts, object))]


def test_parameters_of_every_kind():
    sent = {
        "b": {"bool_param": True},
        "i": {"int64_param": -1},
        "u": {"uint64_param": 2**64 - 1},
        "s": {"string_param": "t"},
        "d": {"double_param": 0.5},
        "sequence_id": {"string_param": ""},
        "sequence_start": {"bool_param": False},
        "triton_enable_empty_final_response": {"bool_param": False},
    }

    got = decode(request(tensor(fp32_contents=[1, 2]), parameters=sent)).parameters

    assert got == {name: value for name, field in sent.items() for value in field.values()}


# --- abuse

ONES = b"\0\0\x80?" * 2

WRONG = {
    "inputs: expected a list of tensors": request(),
    "contents field must not be specified when using raw_input_contents": request(
        tensor(fp32_contents=[1, 2]), raw_input_contents=[ONES]
    ),
    'must not be specified when using raw_input_contents, as it is for input "y"': request(
        tensor(), tensor(name="y", fp32_contents=[1, 2]), raw_input_contents=[ONES]
    ),
    "expected one for each of the 1 inputs, got 2": request(
        tensor(), raw_input_contents=[ONES, ONES]
    ),
    'unable to find data for input tensor "x"': request(tensor()),
    "the elements of FP32 go into fp32_contents, not int_contents": request(
        tensor(int_contents=[1, 2])
    ),
    "go into fp32_contents, not bool_contents": request(
        tensor(fp32_contents=[1, 2], bool_contents=[True])
    ),
    "FP16 goes into raw_input_contents only": request(tensor("FP16", fp32_contents=[1, 2])),
    'inputs[1].name: "x" is there twice': request(
        tensor(fp32_contents=[1, 2]), tensor(fp32_contents=[1, 2])
    ),
    "inputs[0].datatype: expected one of": request(tensor("FP8"), raw_input_contents=[ONES]),
    "BF16 goes into raw_input_contents only": request(tensor("BF16", fp32_contents=[1, 2])),
    "shape: expected at most 32 whole numbers, got a list": request(
        tensor(shape=[-1], fp32_contents=[1])
    ),
    "shape: expected at most 32 whole": request(tensor(shape=[1] * 33, fp32_contents=[1])),
    "shape [3] takes 3 elements, got 2": request(tensor(shape=[3], fp32_contents=[1, 2])),
    "shape [2] of FP32 takes 8 bytes, got 4": request(tensor(), raw_input_contents=[ONES[:4]]),
    "INT8 holds -128 to 127, got 128": request(tensor("INT8", int_contents=[-128, 128])),
    "UINT16 holds 0 to 65535, got 65536": request(tensor("UINT16", uint_contents=[0, 65536])),
    "BOOL takes the bytes 0 and 1, got 2": request(
        tensor("BOOL", (1,)), raw_input_contents=[b"\2"]
    ),
    "element 0 is 9 bytes long, but 0 are left": request(
        tensor("BYTES", (1,)), raw_input_contents=[b"\x09\0\0\0"]
    ),
    "is too large": request(tensor(shape=[0, 2**62, 2**62])),
    "parameters.priority: expected a whole number, got -1": request(
        tensor(fp32_contents=[1, 2]), parameters={"priority": {"int64_param": -1}}
    ),
    'parameters.timeout: expected a whole number, got "5"': request(
        tensor(fp32_contents=[1, 2]), parameters={"timeout": {"string_param": "5"}}
    ),
    'parameters: "timeout" has no value': request(
        tensor(fp32_contents=[1, 2]), parameters={"timeout": {}}
    ),
    "parameters.timeout: expected it in int64_param, got uint64_param": request(
        tensor(fp32_contents=[1, 2]), parameters={"timeout": {"uint64_param": 5}}
    ),
    "parameters.timeout: expected a whole number, got 5.0": request(
        tensor(fp32_contents=[1, 2]), parameters={"timeout": {"double_param": 5}}
    ),
    'parameters: "triton_x" is reserved': request(
        tensor(fp32_contents=[1, 2]), parameters={"triton_x": {"bool_param": True}}
    ),
    "parameters.sequence_id: sequences are not supported": request(
        tensor(fp32_contents=[1, 2]), parameters={"sequence_id": {"string_param": "s"}}
    ),
    "inputs[0].parameters.shared_memory_region: shared memory is not supported": request(
        {**tensor(fp32_contents=[1]), "parameters": {"shared_memory_region": {"string_param": "r"}}}
    ),
    "outputs[0].parameters.shared_memory_region: shared memory is not supported": request(
        tensor(fp32_contents=[1, 2]),
        outputs=[{"name": "y", "parameters": {"shared_memory_region": {"string_param": "r"}}}],
    ),
    "outputs[0].parameters.classification: expected a whole number of at least 1, got 0": classify(
        int64_param=0
    ),
    "expected a whole number of at least 1, got -1": classify(int64_param=-1),
    "classification: expected it in int64_param, got uint64_param": classify(uint64_param=2),
    'classification: expected a whole number of at least 1, got "2"': classify(string_param="2"),
    "classification: expected a whole number of at least 1, got true": classify(bool_param=True),
    "classification: expected a whole number of at least 1, got nothing": classify(),
    "parameters.timeout: expected a whole number, got true": request(
        tensor(fp32_contents=[1, 2]), parameters={"timeout": {"bool_param": True}}
    ),
}


@pytest.mark.parametrize("says", WRONG)
def test_what_is_wrong_is_named(says):
    with pytest.raises(InvalidRequest, match=re.escape(says)):
        decode(WRONG[says])

"""gRPC's messages to tensors, and tensors to messages. Pure; knows no server and no model."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from ..protocol import InferRequest, InvalidRequest, ModelOutputs, RequestedOutput, datatype_of
from ..protocol.datatypes import (
    DTYPES,
    Array,
    bytes_array,
    reshaped,
    tensor_from_bytes,
    tensor_to_bytes,
)
from ..protocol.elements import kind_of
from ..protocol.fields import count, refuse_reserved, refuse_shared_memory
from ..protocol.request import MAX_DIMENSIONS
from ..protocol.response import wanted
from .generated import inference_pb2 as pb


class _Contents(NamedTuple):
    """Where a datatype's elements stand where they are not raw bytes."""

    name: str
    wide: Any
    """The elements' type there: that of the datatype, or one that holds it."""


_INT, _UINT = _Contents("int_contents", "<i4"), _Contents("uint_contents", "<u4")
CONTENTS: Final[Mapping[str, _Contents]] = {
    "BOOL": _Contents("bool_contents", "?"),
    "UINT8": _UINT,
    "UINT16": _UINT,
    "UINT32": _UINT,
    "UINT64": _Contents("uint64_contents", "<u8"),
    "INT8": _INT,
    "INT16": _INT,
    "INT32": _INT,
    "INT64": _Contents("int64_contents", "<i8"),
    "FP32": _Contents("fp32_contents", "<f4"),
    "FP64": _Contents("fp64_contents", "<f8"),
    "BYTES": _Contents("bytes_contents", object),
}
"""FP16 and BF16 have none: they are raw or nothing."""

# tritonclient sends it with every request of a stream; it asks for nothing in a single one.
_ALLOWED: Final = ("triton_enable_empty_final_response",)

_WHOLE: Final = ("int64_param", "uint64_param")


def decode(message: pb.ModelInferRequest) -> InferRequest:
    """Read a request from its message. Raises InvalidRequest.

    The tensors may be views into the message's bytes.
    """
    request = InferRequest({}, id=message.id, binary_outputs=True)
    if not message.inputs:
        raise InvalidRequest("inputs: expected a list of tensors, got an empty list")
    raw = message.raw_input_contents
    if raw:
        # First of all: their number would be wrong too where some inputs have contents.
        for item in message.inputs:
            if item.HasField("contents"):
                raise InvalidRequest(
                    "contents field must not be specified when using raw_input_contents, "
                    f"as it is for input {kind_of(item.name)}"
                )
        if len(raw) != len(message.inputs):
            raise InvalidRequest(
                f"raw_input_contents: expected one for each of the {len(message.inputs)} inputs, "
                f"got {len(raw)}"
            )
    for index, item in enumerate(message.inputs):
        where = f"inputs[{index}]"
        if item.name in request.inputs:
            raise InvalidRequest(f"{where}.name: {kind_of(item.name)} is there twice")
        if item.datatype not in DTYPES:
            raise InvalidRequest(
                f"{where}.datatype: expected one of {', '.join(DTYPES)}, "
                f"got {kind_of(item.datatype)}"
            )
        if item.parameters:
            refuse_shared_memory(where, item.parameters)
        shape = tuple(item.shape)
        if len(shape) > MAX_DIMENSIONS or min(shape, default=0) < 0:
            raise InvalidRequest(
                f"{where}.shape: expected at most {MAX_DIMENSIONS} whole numbers, "
                f"got {kind_of(list(shape)[:MAX_DIMENSIONS])}"
            )
        request.inputs[item.name] = (
            tensor_from_bytes(where, item.datatype, shape, memoryview(raw[index]))
            if raw
            else _from_contents(where, item, shape)
        )
    if message.outputs:
        request.outputs = _requested(message)
    if message.parameters:
        request.parameters = _values("parameters", message.parameters)
        refuse_reserved(request.parameters, _ALLOWED)
        request.priority = _count(message.parameters, "parameters.", "priority", _WHOLE)
        # In microseconds; 0 is as good as none.
        if timeout_us := _count(message.parameters, "parameters.", "timeout", _WHOLE[:1]):
            request.timeout_s = timeout_us / 1e6
    return request


def _requested(message: pb.ModelInferRequest) -> list[RequestedOutput]:
    """The outputs that are asked for. All are sent as bytes, whatever they say about that."""
    found: dict[str, RequestedOutput] = {}
    for index, output in enumerate(message.outputs):
        where = f"outputs[{index}]"
        if output.name in found:
            raise InvalidRequest(f"{where}.name: {kind_of(output.name)} is there twice")
        asked = found[output.name] = RequestedOutput(output.name, True)
        if output.parameters:
            where += ".parameters."
            refuse_shared_memory(f"outputs[{index}]", output.parameters)
            if "classification" in output.parameters:
                asked.classification = _count(
                    output.parameters, where, "classification", _WHOLE[:1], least=1
                )
    return list(found.values())


def _from_contents(where: str, item: Any, shape: tuple[int, ...]) -> Array:
    """An input's tensor from the one list of elements that is its datatype's."""
    contents, dtype = CONTENTS.get(item.datatype), DTYPES[item.datatype]
    if contents is None:
        raise InvalidRequest(f"{where}: {item.datatype} goes into raw_input_contents only")
    filled = [field.name for field, _ in item.contents.ListFields()]
    if wrong := [name for name in filled if name != contents.name]:
        raise InvalidRequest(
            f"{where}: the elements of {item.datatype} go into {contents.name}, not {wrong[0]}"
        )
    if not filled and 0 not in shape:
        raise InvalidRequest(
            f"unable to find data for input tensor {kind_of(item.name)}: "
            f"neither raw_input_contents nor {contents.name} is there"
        )
    elements = getattr(item.contents, contents.name)
    if dtype.hasobject:
        return reshaped(where, bytes_array(list(elements)), shape)
    wide = np.fromiter(elements, contents.wide, len(elements))
    narrow = wide.astype(dtype, copy=False)
    if narrow is not wide and not np.array_equal(narrow, wide):
        limits = np.iinfo(str(dtype))
        number = next(e for e in wide.tolist() if not limits.min <= e <= limits.max)
        raise InvalidRequest(
            f"{where}: {item.datatype} holds {limits.min} to {limits.max}, got {number}"
        )
    return reshaped(where, narrow, shape)


def _values(where: str, parameters: Any) -> dict[str, Any]:
    """Parameters with what they hold, of any kind."""
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        if kind is None:
            raise InvalidRequest(f"{where}: {kind_of(name)} has no value")
        values[name] = getattr(parameter, kind)
    return values


def _count(parameters: Any, where: str, name: str, kinds: Sequence[str], least: int = 0) -> int:
    """A parameter that counts; 0 where it is not there. `kinds`: the fields that it may be in."""
    if name not in parameters:  # asking for its value would put one there
        return 0
    kind = parameters[name].WhichOneof("parameter_choice")
    value = getattr(parameters[name], kind) if kind else None
    if kind in _WHOLE and kind not in kinds:
        raise InvalidRequest(f"{where}{name}: expected it in {kinds[0]}, got {kind}")
    return count(f"{where}{name}", value, least)


def encode(
    model_name: str,
    model_version: str,
    request: InferRequest,
    outputs: Mapping[str, Array],
    model: ModelOutputs | None = None,
) -> pb.ModelInferResponse:
    """Write a reply, all of its outputs raw: clients read no typed numbers.

    outputs: the model's outputs in its own order. model: what else is known of them, for
    their classification. Raises InvalidRequest if the request asks for one that is not
    there, or cannot be classified.
    """
    response = pb.ModelInferResponse(
        model_name=model_name, model_version=model_version, id=request.id
    )
    for name, tensor, _ in wanted(request, outputs, model):
        response.outputs.add(name=name, datatype=datatype_of(tensor.dtype), shape=tensor.shape)
        response.raw_output_contents.append(tensor_to_bytes(tensor))
    return response

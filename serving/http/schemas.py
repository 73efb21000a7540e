"""The protocol's JSON for the documentation; requests are read by `protocol`, not by these."""

from typing import Any, Literal

from pydantic import BaseModel, Field

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "BF16",
    "FP32",
    "FP64",
    "BYTES",
]


class InputTensor(BaseModel):
    """One input of a request."""

    name: str = Field(description="As the model's metadata names it")
    shape: list[int] = Field(description="The first axis is the batch axis", examples=[[1, 4]])
    datatype: Datatype = Field(description="FP16 and BF16 as binary data only")
    data: list[Any] | None = Field(
        default=None, description="The elements, flat and row by row, or nested like the shape"
    )
    parameters: dict[str, Any] | None = Field(
        default=None,
        description="binary_data_size: so many bytes of the binary data are this input's",
    )


class RequestedOutput(BaseModel):
    """An output that the caller asks for."""

    name: str
    parameters: dict[str, Any] | None = Field(
        default=None,
        description="binary_data: true for bytes instead of JSON; "
        "classification: so many best classes instead of numbers",
    )


class InferRequestBody(BaseModel):
    """A request."""

    id: str | None = Field(default=None, description="Comes back in the reply")
    parameters: dict[str, Any] | None = Field(
        default=None,
        description="binary_data_output: true for all outputs as bytes; priority: 1, the most "
        "urgent, to 10; timeout: microseconds that its caller waits",
    )
    inputs: list[InputTensor]
    outputs: list[RequestedOutput] | None = Field(default=None, description="All if left out")


class OutputTensor(BaseModel):
    """One output of a reply."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class InferReplyBody(BaseModel):
    """A reply."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ErrorBody(BaseModel):
    """Every error of this server."""

    error: str


class TensorMetadata(BaseModel):
    """An input or output of a model; -1 is an axis of any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """What this server is."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """The process answers."""

    live: bool


class Ready(BaseModel):
    """Every model answers."""

    ready: bool


class ModelReady(BaseModel):
    """This model answers."""

    name: str
    ready: bool


class NotReady(BaseModel):
    """It does not answer, and why."""

    name: str | None = Field(default=None, description="The model, if one was asked about")
    ready: bool
    error: str


class ModelNames(BaseModel):
    """All models, ready or not."""

    models: list[str]


def in_one_piece(model: type[BaseModel]) -> Any:
    """The model's JSON schema without references: they would point into the document around it."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inlined(parts[node["$ref"].rsplit("/", 1)[-1]])
        return {key: inlined(value) for key, value in node.items()}

    return inlined(schema)

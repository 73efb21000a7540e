"""The Open Inference Protocol: bytes to tensors and back. Pure; knows no server and no model."""

from .datatypes import datatype_of
from .envelope import Envelope, envelope_of
from .errors import InvalidRequest
from .outputs import ModelOutputs
from .raw import RawInput, decode_raw
from .request import InferRequest, decode
from .requested import RequestedOutput
from .response import Encoded, encode

__all__ = [
    "Encoded",
    "Envelope",
    "InferRequest",
    "InvalidRequest",
    "ModelOutputs",
    "RawInput",
    "RequestedOutput",
    "datatype_of",
    "decode",
    "decode_raw",
    "encode",
    "envelope_of",
]

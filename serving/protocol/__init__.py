"""The Open Inference Protocol: bytes to tensors and back. Pure; knows no server and no model."""

from .datatypes import datatype_of
from .errors import InvalidRequest
from .request import InferRequest, RequestedOutput, decode
from .response import Encoded, encode

__all__ = [
    "Encoded",
    "InferRequest",
    "InvalidRequest",
    "RequestedOutput",
    "datatype_of",
    "decode",
    "encode",
]

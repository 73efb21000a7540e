"""The Open Inference Protocol over gRPC: a second door to the same engine."""

from .server import GrpcServer

__all__ = ["GrpcServer"]

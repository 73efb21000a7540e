"""Real server processes, one behind each door, and the models that they serve."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx import TensorProto

from models import ZOO
from tests.support import onnx_models
from tests.support.asgi_server import asgi_serving
from tests.support.server import Server, free_port, serving

DATATYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def make_repository(root: Path) -> Path:
    """digits and iris; one identity for each datatype, by its name; `twice`, `spare` and
    `versions` (1, 2 and 3, of which 2 and 3 are served), y = x + x; `slow`."""
    for name in ("digits", "iris"):
        shutil.copytree(ZOO / name, root / name)
    for name, kind in DATATYPES.items():
        onnx_models.identity(root / name / "1" / "model.onnx", kind, ["batch", 2])
    for name in ("twice", "spare"):
        onnx_models.doubler(root / name / "1" / "model.onnx")
    for version in "123":
        onnx_models.doubler(root / "versions" / version / "model.onnx")
    (root / "versions" / "model.toml").write_text("versions = [2, 3]\n")
    # Tens of milliseconds a run, so that others wait.
    onnx_models.heavy(root / "slow" / "1" / "model.onnx")
    return root


@pytest.fixture(scope="session")
def door_server(tmp_path_factory) -> Iterator[Server]:
    """`jitney serve`: HTTP by its own protocol, and gRPC."""
    folder = make_repository(tmp_path_factory.mktemp("models"))
    with serving(
        folder, "--grpc-port", free_port(), "--admin", "--profile-budget", "0.1"
    ) as server:
        yield server


@pytest.fixture(scope="session")
def asgi_server(tmp_path_factory) -> Iterator[Server]:
    """`uvicorn serving.app:create_app --factory`."""
    folder = make_repository(tmp_path_factory.mktemp("models"))
    with asgi_serving(folder, admin=True, profile_budget_s=0.1) as server:
        yield server


@pytest.fixture(params=["door", "asgi"])
def server(request) -> Server:
    """A server, behind each of its doors in turn."""
    return request.getfixturevalue(f"{request.param}_server")

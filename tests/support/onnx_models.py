"""Small ONNX files, made on the spot."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper, save

Tensor = tuple[str, int, list[str | int | None]]
"""A name, a TensorProto type and a shape."""


def write(
    path: Path,
    nodes: list[tuple[str, list[str], list[str]]],
    inputs: list[Tensor],
    outputs: list[Tensor],
    weights: dict[str, np.ndarray] | None = None,
) -> Path:
    """Write a graph of nodes (operator, inputs, outputs) without attributes; give back the path."""
    graph = helper.make_graph(
        [helper.make_node(kind, into, out) for kind, into, out in nodes],
        "test",
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(*tensor) for tensor in outputs],
        [numpy_helper.from_array(values, name) for name, values in (weights or {}).items()],
    )
    model: ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, path)
    return path


def doubler(path: Path, width: int = 4, dtype: int = TensorProto.FLOAT) -> Path:
    """y = x + x, [batch, width]."""
    return write(
        path,
        [("Add", ["x", "x"], ["y"])],
        [("x", dtype, ["batch", width])],
        [("y", dtype, ["batch", width])],
    )


def identity(path: Path, dtype: int, shape: list[str | int | None]) -> Path:
    """y = x, of any type and shape."""
    return write(path, [("Identity", ["x"], ["y"])], [("x", dtype, shape)], [("y", dtype, shape)])


def gatherer(path: Path, rows: int = 8) -> Path:
    """y = table[index]: fails for an index that is not in the table of so many rows."""
    table = np.arange(rows, dtype=np.float32)
    return write(
        path,
        [("Gather", ["table", "index"], ["y"])],
        [("index", TensorProto.INT64, ["batch", 1])],
        [("y", TensorProto.FLOAT, ["batch", 1])],
        {"table": table},
    )


def heavy(path: Path, width: int = 1024, layers: int = 24) -> Path:
    """A chain of matrix products: tens of milliseconds a run, whatever the batch."""
    rng = np.random.default_rng(0)
    weights = {"w": (rng.standard_normal((width, width)) / width**0.5).astype(np.float32)}
    names = ["x", *(f"h{layer}" for layer in range(layers - 1)), "y"]
    return write(
        path,
        [("MatMul", [a, "w"], [b]) for a, b in pairwise(names)],
        [("x", TensorProto.FLOAT, ["batch", width])],
        [("y", TensorProto.FLOAT, ["batch", width])],
        weights,
    )

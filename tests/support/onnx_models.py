"""Small ONNX files, made on the spot."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper

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
    return _save(path, graph)


def _save(path: Path, graph: GraphProto) -> Path:
    operators = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=operators, ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    # As bytes: nothing is checked, so that models can be written that should be refused.
    path.write_bytes(model.SerializeToString())
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


def scaler(path: Path, factor: float, weights_mib: int = 0) -> Path:
    """y = factor * x, [batch, 4], for whole numbers below 1000; with weights that add nothing."""
    table = np.zeros(max(1000, weights_mib * 2**18), np.float32)
    return write(
        path,
        [
            ("CastLike", ["x", "whole"], ["index"]),
            ("Gather", ["table", "index"], ["nothing"]),
            ("Mul", ["x", "factor"], ["scaled"]),
            ("Add", ["scaled", "nothing"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["batch", 4])],
        [("y", TensorProto.FLOAT, ["batch", 4])],
        {"table": table, "factor": np.array(factor, np.float32), "whole": np.array(0)},
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


def rounds(path: Path, width: int = 512) -> Path:
    """y = x, after as many rounds of work as the highest x says: a cost that no shape shows."""
    rng = np.random.default_rng(0)
    weights = (rng.standard_normal((width, width)) / width**0.5).astype(np.float32)
    state = helper.make_tensor_value_info("h", TensorProto.FLOAT, [width, width])
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "w"], ["product"]),
            helper.make_node("Tanh", ["product"], ["next"]),
            helper.make_node("Identity", ["go"], ["goes"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            state,
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [width, width]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMax", ["x"], ["highest"], keepdims=0),
            helper.make_node("Cast", ["highest"], ["count"], to=TensorProto.INT64),
            helper.make_node("Loop", ["count", "", "w"], ["worked"], body=body),
            helper.make_node("ReduceMax", ["worked"], ["most"], keepdims=0),
            helper.make_node("Mul", ["most", "zero"], ["nothing"]),
            helper.make_node("Add", ["x", "nothing"], ["y"]),
        ],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
        ],
    )
    return _save(path, graph)


def similarity(path: Path, width: int = 2) -> Path:
    """y = x @ x.T, [batch, batch]: each row is compared with all that came with it."""
    return write(
        path,
        [("Transpose", ["x"], ["t"]), ("MatMul", ["x", "t"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", width])],
        [("y", TensorProto.FLOAT, ["batch", "batch"])],
    )


def neighbourly(path: Path, width: int = 4) -> Path:
    """y = x + the sum of all rows: an answer that hangs on who else is in the batch."""
    return write(
        path,
        [("ReduceSum", ["x", "rows"], ["sum"]), ("Add", ["x", "sum"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", width])],
        [("y", TensorProto.FLOAT, ["batch", width])],
        {"rows": np.array([0])},
    )


def running_sum(path: Path) -> Path:
    """y = the sum of the rows so far, of integers: only the first row is by itself."""
    return write(
        path,
        [("CumSum", ["x", "rows"], ["y"])],
        [("x", TensorProto.INT64, ["batch", 2])],
        [("y", TensorProto.INT64, ["batch", 2])],
        {"rows": np.array(0)},
    )


def for_one(path: Path, width: int = 4) -> Path:
    """y = x + x, that takes batches by its shapes, and fails on each of more than one row."""
    return write(
        path,
        [("Squeeze", ["x", "rows"], ["only"]), ("Add", ["x", "only"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", width])],
        [("y", TensorProto.FLOAT, ["batch", width])],
        {"rows": np.array([0])},
    )


def summing(path: Path) -> Path:
    """y = the sum of all rows, one row whatever went in, though its shape says otherwise."""
    return write(
        path,
        [("ReduceSum", ["x", "rows"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", 4])],
        [("y", TensorProto.FLOAT, ["batch", 4])],
        {"rows": np.array([0])},
    )


def quantized(path: Path, width: int = 64) -> Path:
    """A matrix product of int8 with one scale for the whole batch: rows move each other a bit."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.integers(-100, 100, (width, width)).astype(np.int8),
        "w_scale": np.float32(0.01),
    }
    return write(
        path,
        [
            ("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
            ("MatMulInteger", ["q", "w", "zero"], ["sums"]),
            ("CastLike", ["sums", "scale"], ["floats"]),
            ("Mul", ["floats", "scale"], ["scaled"]),
            ("Mul", ["scaled", "w_scale"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["batch", width])],
        [("y", TensorProto.FLOAT, ["batch", width])],
        {name: np.asarray(values) for name, values in weights.items()},
    )


def zip_mapped(path: Path) -> Path:
    """A classifier as scikit-learn exports it unless told otherwise: a list of dictionaries."""
    node = helper.make_node(
        "ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"]
    )
    probability = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    row = helper.make_map_type_proto(TensorProto.STRING, probability)
    return _save(
        path,
        helper.make_graph(
            [node],
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
            [helper.make_value_info("y", helper.make_sequence_type_proto(row))],
        ),
    )


def optional(path: Path) -> Path:
    """An input that may be left out, which is no tensor."""
    floats = helper.make_tensor_type_proto(TensorProto.FLOAT, ["batch"])
    return _save(
        path,
        helper.make_graph(
            [helper.make_node("OptionalGetElement", ["x"], ["y"])],
            "test",
            [helper.make_value_info("x", helper.make_optional_type_proto(floats))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
        ),
    )


def with_weights_in(path: Path, location: str) -> Path:
    """y = x + w, [batch, 4], where w is 4 floats in the file that is named."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    return _save(
        path,
        helper.make_graph(
            [helper.make_node("Add", ["x", "w"], ["y"])],
            "test",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
            [weights],
        ),
    )

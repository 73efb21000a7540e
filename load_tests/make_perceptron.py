"""Writes the 36 MB perceptron that the measurements run: 256 numbers in, 10 out.

    python load_tests/make_perceptron.py [PATH]

Three hidden layers of 2048. Large enough that its weights do not fit the caches,
so that a batch, which reads them once for all of its rows, pays.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

DEFAULT = Path(__file__).parent / "out" / "perceptron.onnx"
INPUTS, HIDDEN, OUTPUTS = 256, (2048, 2048, 2048), 10


def write(path: Path) -> None:
    """Write the model, the same bytes every time."""
    rng = np.random.default_rng(0)
    widths = (INPUTS, *HIDDEN, OUTPUTS)
    nodes, weights, name = [], [], "x"
    for layer, (fan_in, width) in enumerate(pairwise(widths)):
        last = layer == len(widths) - 2
        w = (rng.standard_normal((fan_in, width)) / fan_in**0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"w{layer}"))
        weights.append(numpy_helper.from_array(np.zeros(width, np.float32), f"b{layer}"))
        out = "y" if last else f"sum{layer}"
        nodes.append(helper.make_node("Gemm", [name, f"w{layer}", f"b{layer}"], [out]))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"hidden{layer}"]))
            name = f"hidden{layer}"
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", OUTPUTS])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", nargs="?", type=Path, default=DEFAULT, help=f"({DEFAULT.name})")
    path = parser.parse_args().path
    write(path)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")

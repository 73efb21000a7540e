"""Memory stays flat, however many shapes come: a real session, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from tests.support.onnx_models import write

STATM = Path("/proc/self/statm")

# Batches of 1 to 16 rows, padded to a longest of 1 to 128, through the stacker and the
# engine as a server runs them; what is resident is told after every hundred shapes.
PROGRAM = """
import random, resource, sys
import numpy as np
from pathlib import Path
from batching.tensors import Stacker
from models.onnx_runtime import OnnxRuntime

model, stacker = OnnxRuntime(Path(sys.argv[1]), threads=1), Stacker(16, {"x": 0.0})
rng, shapes = random.Random(0), set()

def run(lengths):
    rows = [{"x": np.ones((1, length, 64), np.float32)} for length in lengths]
    stacked = stacker.stack(rows)
    shapes.add(stacked["x"].shape)
    model.run(stacked)

run([128] * 16)
while len(shapes) <= 800:
    before, longest = len(shapes), rng.randint(1, 128)
    run([rng.randint(1, longest) for _ in range(rng.randint(1, 16))])
    if len(shapes) > before and len(shapes) % 100 == 0:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(pages * resource.getpagesize())
"""


@pytest.mark.skipif(not STATM.exists(), reason="this system does not tell what is resident")
def test_memory_does_not_grow_with_every_new_shape(tmp_path: Path) -> None:
    """Lesson 23: after a hundred shapes, seven hundred more take less than 8 MiB together.

    Kept for each shape, inputs and results alone would take nearly 200 MiB.
    """
    weights = {
        "a": np.full((64, 256), 1 / 64, np.float32),
        "b": np.full((256, 64), 1 / 256, np.float32),
    }
    model = write(
        tmp_path / "m.onnx",
        [("MatMul", ["x", "a"], ["h"]), ("Tanh", ["h"], ["t"]), ("MatMul", ["t", "b"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", "length", 64])],
        [("y", TensorProto.FLOAT, ["batch", "length", 64])],
        weights,
    )

    command = [sys.executable, "-c", PROGRAM, str(model)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)

    after_100, *_, after_800 = map(int, done.stdout.split())
    assert after_800 - after_100 < 8 * 2**20

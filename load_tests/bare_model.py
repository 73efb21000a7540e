"""What a model costs with no server around it: CPU time a run, by batch size.

    taskset -c 0 python load_tests/bare_model.py model.onnx

Prints JSON: onnxruntime's version, and the seconds of CPU time of one run for
each number of rows. Inputs are random numbers of type FP32.
"""

import json
import os
import statistics
import sys
import time

import numpy as np

# Read when it is imported; without it onnxruntime 1.29 and later report over the network.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort

SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
SAMPLE_S = 0.05
"""Long beside the steps of the clock, short beside what else the machine does."""

SAMPLES = 7


def main(path: str) -> None:
    """Measure and print."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    run_s = {}
    for rows in SIZES:
        inputs = {
            tensor.name: rng.standard_normal((rows, *tensor.shape[1:]), np.float32)
            for tensor in session.get_inputs()
        }
        run_s[rows] = statistics.median(sample(session, inputs) for _ in range(SAMPLES))
    print(json.dumps({"onnxruntime": ort.__version__, "run_s": run_s}))


def sample(session: ort.InferenceSession, inputs: dict[str, np.ndarray]) -> float:
    """Mean CPU time of a run, over as many as fit the sample."""
    session.run(None, inputs)  # the first run of a shape also plans its memory
    runs, began = 0, time.process_time()
    while (spent := time.process_time() - began) < SAMPLE_S:
        session.run(None, inputs)
        runs += 1
    return spent / runs


if __name__ == "__main__":
    main(sys.argv[1])

"""The model that every peer serves, as every peer runs it, and the JSON around it.

On PYTHONPATH of every peer, so that none has a better session or a faster parser than
another. The file is in the environment variable MODEL.
"""

import os

# Read when it is imported; without it onnxruntime 1.29 and later report over the network.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

ROWS = 64
"""Of the largest batch: where this model's cost a row no longer falls."""

WAIT_S = 0.001
"""How long the first of a batch waits for company, unless the peer's own file says otherwise."""


class Perceptron:
    """A session on one thread, which is all that one core has a use for."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )
        # The first run of all takes longer.
        self.run(np.zeros((ROWS, 256), np.float32))

    def run(self, rows: np.ndarray) -> np.ndarray:
        """FP32 [n, 256] to FP32 [n, 10]."""
        outputs: list[np.ndarray] = self._session.run(["y"], {"x": rows})
        return outputs[0]


def decode(body: bytes) -> np.ndarray:
    """The 256 numbers of a request. With orjson, the fastest that people commonly use."""
    import orjson  # here, as Triton parses by itself and has no need of it

    return np.array(orjson.loads(body)["inputs"][0]["data"], np.float32)


def encode(row: np.ndarray) -> bytes:
    """The ten numbers of an answer."""
    import orjson

    return orjson.dumps({"y": row}, option=orjson.OPT_SERIALIZE_NUMPY)

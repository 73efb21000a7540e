"""The perceptron behind LitServe: FastAPI in one process, the model in another.

    MODEL=model.onnx .venv-peers/litserve/bin/python load_tests/peers/litserve/serve.py PORT

One worker, one API server, batches of up to 64. The first of a batch waits for up to 10 ms:
LitServe hands requests over so slowly that with 1 ms it ran small batches, and half as many
requests a second. Its `fast_queue` made no difference on one core.
"""

import sys
from typing import Any

import litserve
import numpy as np
from perceptron import ROWS, Perceptron

WAIT_S = 0.01


class Api(litserve.LitAPI):
    """The steps of a request. LitServe parses its JSON itself, and writes the answer's."""

    def setup(self, device: str) -> None:
        self._model = Perceptron()

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        return np.array(request["inputs"][0]["data"], np.float32)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        return np.stack(inputs)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self._model.run(rows)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, list[float]]:
        return {"y": output.tolist()}


if __name__ == "__main__":
    litserve.LitServer(
        Api(max_batch_size=ROWS, batch_timeout=WAIT_S),
        accelerator="cpu",
        devices=1,
        workers_per_device=1,
    ).run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )

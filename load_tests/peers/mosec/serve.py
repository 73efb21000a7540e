"""The perceptron behind mosec: its HTTP server is Rust, the model runs in a process beside it.

    MODEL=model.onnx .venv-peers/mosec/bin/python load_tests/peers/mosec/serve.py --port N

One worker, batches of up to 64, a wait of up to 1 ms (mosec's least that is not its default).
"""

import numpy as np
from mosec import Server, Worker
from perceptron import ROWS, WAIT_S, Perceptron, decode, encode


class Runner(Worker):
    """Runs a batch at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._model = Perceptron()

    def deserialize(self, data: bytes) -> np.ndarray:
        return decode(data)

    def forward(self, data: list[np.ndarray]) -> list[np.ndarray]:
        return list(self._model.run(np.stack(data)))

    def serialize(self, data: np.ndarray) -> bytes:
        return encode(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Runner, max_batch_size=ROWS, max_wait_time=max(1, round(WAIT_S * 1e3)))
    server.run()

"""The perceptron behind Ray Serve: an HTTP proxy, a controller and a replica, each a process.

    MODEL=model.onnx .venv-peers/ray/bin/python load_tests/peers/ray/serve.py PORT

One replica, batches of up to 64, a wait of up to 1 ms, and Ray Serve's own switch for
throughput (no request logs, user code on the replica's own event loop).
"""

import logging
import os
import signal
import sys
import threading

os.environ["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "1"

import numpy as np
import ray
from perceptron import ROWS, WAIT_S, Perceptron, decode, encode
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=1, max_ongoing_requests=1024)
class Runner:
    """Runs a batch at a time."""

    def __init__(self) -> None:
        self._model = Perceptron()

    @serve.batch(max_batch_size=ROWS, batch_wait_timeout_s=WAIT_S)
    async def run(self, rows: list[np.ndarray]) -> list[np.ndarray]:
        return list(self._model.run(np.stack(rows)))

    async def __call__(self, request: Request) -> Response:
        row = await self.run(decode(await request.body()))
        return Response(encode(row), media_type="application/json")


if __name__ == "__main__":
    stop = threading.Event()
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level=logging.WARNING,
        object_store_memory=100_000_000,
    )
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=int(sys.argv[1])))
    serve.run(
        Runner.bind(),
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
    )
    # Ray has handlers of its own by now.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    serve.shutdown()
    ray.shutdown()

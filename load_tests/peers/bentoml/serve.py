"""The perceptron behind BentoML, with its adaptive batching.

    cd load_tests/peers/bentoml && MODEL=model.onnx bentoml serve serve:Runner --port N

One worker, batches of up to 64. BentoML learns by itself how long to wait; max_latency_ms
is not a wait but the age above which it refuses requests, and what its learning starts from:
with its default, a minute, it was still waiting for company long after the warm-up.
"""

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType
from perceptron import ROWS, Perceptron


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Runner:
    """Runs a batch at a time."""

    def __init__(self) -> None:
        self._model = Perceptron()

    @bentoml.api(batchable=True, max_batch_size=ROWS, max_latency_ms=2000)
    def infer(
        self, x: Annotated[np.ndarray, DType("float32")]
    ) -> Annotated[np.ndarray, DType("float32")]:
        return self._model.run(x)

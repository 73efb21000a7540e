"""The perceptron as a model of Triton's Python backend."""

from typing import Any

import numpy as np
import triton_python_backend_utils as triton
from perceptron import Perceptron


class TritonPythonModel:
    """Runs what Triton's dynamic batching puts together."""

    def initialize(self, args: dict[str, str]) -> None:
        self._model = Perceptron()

    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = [triton.get_input_tensor_by_name(each, "x").as_numpy() for each in requests]
        rows = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        outputs = self._model.run(rows)
        replies, at = [], 0
        for each in inputs:
            tensor = triton.Tensor("y", outputs[at : at + len(each)])
            replies.append(triton.InferenceResponse([tensor]))
            at += len(each)
        return replies

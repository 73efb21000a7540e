"""What every server is asked, as JSON and as binary tensors, and what the model's answer is.

Many different rows, so that no server answers two callers with one run. Pure but for the files.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import make_perceptron
import numpy as np
import onnx
from peers.servers import Server
from wrk import DISTINCT_REQUESTS

ANSWERED = 16
"""Rows of which the answer is known."""


class Body(NamedTuple):
    """What follows the head of a request."""

    content: bytes
    json_length: int | None = None
    """Where tensors follow the JSON as bytes: where they begin."""


@dataclass(frozen=True)
class Questions:
    """Rows to send, and the model's answers to the first of them."""

    rows: np.ndarray
    """FP32 [n, 256]."""
    wanted: np.ndarray
    """FP32 [ANSWERED, 10]."""

    def body(self, server: Server, form: str, number: int = 0) -> Body:
        """One request."""
        row = self.rows[number]
        if form == "json":
            return Body(server.body([str(value) for value in row]).encode())
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": "x",
                        "shape": [1, len(row)],
                        "datatype": "FP32",
                        "parameters": {"binary_data_size": row.nbytes},
                    }
                ],
                "parameters": {"binary_data_output": True},
            },
            separators=(",", ":"),
        ).encode()
        return Body(head + row.astype("<f4").tobytes(), len(head))

    def write(self, server: Server, form: str, path: Path) -> Path:
        """All of them in a file: JSON a line each, binary as binary.lua reads them."""
        with path.open("wb") as file:
            for number in range(len(self.rows)):
                body = self.body(server, form, number)
                if body.json_length is not None:
                    file.write(f"{body.json_length} {len(body.content)}\n".encode())
                file.write(body.content + b"\n")
        return path

    def are_answered_by(self, row: np.ndarray | list[float], number: int = 0) -> bool:
        """Whether it is the model's answer to this row, one of the first."""
        found, wanted = np.asarray(row, np.float64), self.wanted[number]
        return found.shape == wanted.shape and np.allclose(found, wanted, rtol=1e-3, atol=1e-4)


def answer(server: Server, form: str, body: bytes) -> np.ndarray:
    """The numbers of an answer. Raises ValueError, LookupError or TypeError if it has none."""
    if form == "json":
        return np.asarray(server.row(json.loads(body)), np.float64).ravel()
    # Latin-1 gives each byte one character, so that places are places in the body.
    reply, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
    size = reply["outputs"][0]["parameters"]["binary_data_size"]
    return np.frombuffer(body[end : end + size], "<f4").astype(np.float64)


def questions(model: Path) -> Questions:
    """The same every time. model: the perceptron's file, whose answer numpy computes."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((DISTINCT_REQUESTS, make_perceptron.INPUTS), np.float32)
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(model).graph.initializer
    }
    value, layers = rows[:ANSWERED], len(weights) // 2
    for layer in range(layers):
        value = value @ weights[f"w{layer}"] + weights[f"b{layer}"]
        value = value if layer == layers - 1 else np.maximum(value, 0)
    return Questions(rows, value)

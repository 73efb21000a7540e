"""What is asked of each model, and whether the answers are right.

A sample of the perceptron is 256 numbers, sent and answered as a binary tensor; one of MiniLM
is a sentence of natural length, as JSON.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import make_perceptron
from peers.sentences import sentences
from real_models import DEFAULT as REAL_MODELS
from tensors import JSON_LENGTH
from wrk import SERVER_CORE, Failed, on_core

PERCEPTRON_SAMPLES, SENTENCES = 1024, 512
FURTHEST = {"perceptron": 1e-3, "minilm": 0.02}
"""Of an answer from what onnxruntime gives alone: the largest difference of a number, over the
largest number; for vectors the cosine distance, in which 8-bit weights feel their company."""


@dataclass(frozen=True)
class Samples:
    """All samples of a model."""

    model: Path
    bodies: list[tuple[bytes, int | None]]
    """For each the body without a timeout, and the length of its JSON where tensors follow."""
    wanted: np.ndarray
    """A row of numbers for each."""

    def requests(self, port: int, timeout_s: float | None) -> list[bytes]:
        """As they go over the wire. timeout_s: after which an answer is of no use."""
        path = f"/v2/models/{self.model.stem}/infer"
        return [self._request(port, path, timeout_s, *body) for body in self.bodies]

    @staticmethod
    def _request(
        port: int, path: str, timeout_s: float | None, body: bytes, json_length: int | None
    ) -> bytes:
        headers = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        if timeout_s is not None:
            headers.append(f"X-Request-Timeout-Ms: {1e3 * timeout_s:g}")
        if json_length is None:
            headers.append("Content-Type: application/json")
        else:
            headers += [
                "Content-Type: application/octet-stream",
                f"{JSON_LENGTH}: {json_length}",
            ]
        headers.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*headers, "", ""]).encode() + body

    def furthest(self, answers: Mapping[int, bytes]) -> float:
        """Of the answers, by sample, how far the worst is from what is wanted. Raises Failed."""
        if sorted(answers) != list(range(len(self.bodies))):
            raise Failed(f"{len(answers)} of {len(self.bodies)} samples were answered")
        got = np.stack([self._numbers(answers[sample]) for sample in sorted(answers)])
        if self.model.stem == "perceptron":
            return float(np.abs(got - self.wanted).max() / np.abs(self.wanted).max())
        lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(self.wanted, axis=1)
        return float(1 - ((got * self.wanted).sum(axis=1) / lengths).min())

    def _numbers(self, body: bytes) -> np.ndarray:
        try:
            if self.bodies[0][1] is None:
                return np.array(json.loads(body)["outputs"][0]["data"], np.float64)
            # Tensors are behind the JSON, and this one is alone.
            size = 4 * self.wanted.shape[1]
            return np.frombuffer(body[-size:], "<f4").astype(np.float64)
        except (ValueError, KeyError, IndexError) as error:
            raise Failed(f"an answer cannot be read: {error}") from error


def perceptron() -> Samples:
    """Random numbers, and what onnxruntime makes of each row."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    make_perceptron.write(make_perceptron.DEFAULT)
    shape = (PERCEPTRON_SAMPLES, make_perceptron.INPUTS)
    rows = np.random.default_rng(0).standard_normal(shape, np.float32)
    session = ort.InferenceSession(make_perceptron.DEFAULT, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": rows})[0]
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [1, shape[1]],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": 4 * shape[1]},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    bodies = [(head + row.astype("<f4").tobytes(), len(head)) for row in rows]
    return Samples(make_perceptron.DEFAULT, bodies, wanted.astype(np.float64))


def minilm() -> Samples:
    """Sentences, and the vector that each has if it runs alone. Raises Failed."""
    model = REAL_MODELS / "minilm"
    if not (model / "1/model.onnx").is_file():
        raise Failed(f"{model} is not there; run: make models")
    texts = sentences(model / "tokenizer.json", SENTENCES)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copyfile(model / "1/model.onnx", folder / "model.onnx")
        shutil.copyfile(model / "tokenizer.json", folder / "tokenizer.json")
        (folder / "sentences.json").write_text(json.dumps(texts))
        script = Path(__file__).parents[1] / "peers" / "text_alone.py"
        vectors = folder / "vectors.npy"
        on_core(SERVER_CORE, sys.executable, script, folder, folder / "sentences.json", vectors)
        wanted = np.load(vectors)
    bodies: list[tuple[bytes, int | None]] = []
    for text in texts:
        tensor: dict[str, Any] = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}
        bodies.append((json.dumps({"inputs": [tensor]}).encode(), None))
    return Samples(model, bodies, wanted)


def answers_of(log: Iterable[dict[str, Any]]) -> dict[int, bytes]:
    """Of LoadGen's log of accuracy: what was answered to each sample."""
    return {entry["qsl_idx"]: bytes.fromhex(entry["data"]) for entry in log}

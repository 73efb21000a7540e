"""Sentences as vectors behind mosec, batched as they come: up to 32, padded to the longest.

    .venv-peers/mosec/bin/python load_tests/peers/mosec/text.py --port N

This is what most servers do with text: whoever waits rides, and all pay for the longest.
The folder with model.onnx and tokenizer.json is in the environment variable MODEL (mosec
reads the command line itself); the rows of the largest batch in ROWS (32).
"""

import os
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import msgspec
import numpy as np
import onnxruntime
from mosec import Server, Worker
from tokenizers import Tokenizer

ROWS = int(os.environ.get("ROWS", "32"))


class Encoder(Worker):
    """Tokenizes, runs and pools a batch at a time."""

    def __init__(self) -> None:
        super().__init__()
        folder = Path(os.environ["MODEL"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding()

    def deserialize(self, data: bytes) -> str:
        text: str = msgspec.json.decode(data)["text"]
        return text

    def forward(self, data: list[str]) -> list[list[float]]:
        encoded = self.tokenizer.encode_batch(data)
        mask = np.array([item.attention_mask for item in encoded], np.int64)
        inputs = {
            "input_ids": np.array([item.ids for item in encoded], np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        (hidden,) = self.session.run(["last_hidden_state"], inputs)
        weights = mask[:, :, None].astype(np.float32)
        vectors = (hidden * weights).sum(1) / weights.sum(1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        result: list[list[float]] = vectors.tolist()
        return result

    def serialize(self, data: Any) -> bytes:
        return msgspec.json.encode({"embedding": data})


if __name__ == "__main__":
    server = Server()
    server.append_worker(Encoder, max_batch_size=ROWS, max_wait_time=1, timeout=60)
    server.run()

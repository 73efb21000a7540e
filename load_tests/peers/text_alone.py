"""Sentences through a model one by one, with no server around it: the vectors, and how fast.

    taskset -c 0 python load_tests/text_alone.py FOLDER sentences.json vectors.npy

FOLDER holds model.onnx and tokenizer.json. Prints JSON: onnxruntime's version, and the
sentences a second, tokenizing and pooling included. What servers answer is compared with
these vectors; nothing can be more right, for no sentence here has company or padding.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

# Read when it is imported; without it onnxruntime 1.29 and later report over the network.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort


def main(folder: Path, sentences: Path, vectors: Path) -> None:
    """Compute, write and print."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    texts = json.loads(sentences.read_text())
    for text in texts[:16]:
        vector(session, tokenizer, text)
    began = time.perf_counter()
    made = [vector(session, tokenizer, text) for text in texts]
    took_s = time.perf_counter() - began
    np.save(vectors, np.stack(made))
    print(json.dumps({"onnxruntime": ort.__version__, "a_second": len(texts) / took_s}))


def vector(session: ort.InferenceSession, tokenizer: Tokenizer, text: str) -> np.ndarray:
    """The mean of the tokens' vectors, of length one."""
    ids = np.array([tokenizer.encode(text).ids], np.int64)
    inputs = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }
    (hidden,) = session.run(["last_hidden_state"], inputs)
    mean: np.ndarray = hidden[0].mean(0, dtype=np.float64)
    return mean / np.linalg.norm(mean)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

"""Serves a folder with an ONNX file, its tokenizer and its config.json behind infinity.

    .venv-peers/infinity/bin/python load_tests/peers/infinity/serve.py FOLDER --port N

This is infinity's own command line server with two repairs, both in its favour: optimum
looks for a model file in a folder by its bare name, infinity passes a path;
and onnxruntime, left to itself, starts a thread for every core of the machine and pins it
there, also outside the core that the process was given.

Its optimizer is on, which writes model_optimized.onnx into the folder at the first start. It
needs optimum 1 (with 2 it fails, and infinity does without): 7 to 11% more sentences a second.
"""

import argparse
import os
from pathlib import Path
from typing import Any

# Read when the libraries are imported. A measurement reports to nobody and fetches nothing.
os.environ |= {"DO_NOT_TRACK": "1", "ORT_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}

import infinity_emb.transformer.embedder.optimum as embedder
import onnxruntime
from infinity_emb.cli import tp
from optimum.onnxruntime import ORTModelForFeatureExtraction


class OneThread(ORTModelForFeatureExtraction):
    """Runs on the core that it is given."""

    @classmethod
    def from_pretrained(cls, *arguments: Any, file_name: str, **options: Any) -> Any:
        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = session.inter_op_num_threads = 1
        session.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return ORTModelForFeatureExtraction.from_pretrained(
            *arguments, file_name=Path(file_name).name, session_options=session, **options
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=4, help="rows a batch (4)")
    options = parser.parse_args()
    embedder.ORTModelForFeatureExtraction = OneThread
    tp(
        [
            *("v2", "--model-id", str(options.folder.resolve()), "--served-model-name", "minilm"),
            *("--engine", "optimum", "--device", "cpu", "--batch-size", str(options.batch_size)),
            # Without it a sentence is its first token: not what this model was trained for.
            *("--pooling-method", "mean"),
            *("--host", "127.0.0.1", "--port", str(options.port), "--log-level", "warning"),
        ]
    )


if __name__ == "__main__":
    main()

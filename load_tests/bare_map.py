"""The most rows a second that a model can do on this machine, with nothing around it.

    python load_tests/bare_map.py MODEL TABLE.parquet [--best best.json]

MODEL is an .onnx file, whose input is the column `x`; or a folder with 1/model.onnx and
tokenizer.json, of which the column `text` becomes the tokens. All rows are in memory before the
clock starts, texts as tokens too, sorted by length over the whole sample and padded to the
longest of their batch: more than anything that reads and writes files can have. Prints JSON: the
best way to run it, and its rate. --best: a file with such JSON, whose way is measured and no other.
"""

import argparse
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

# Read when it is imported; without it onnxruntime 1.29 and later report over the network.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime as ort

ROWS, TEXTS = 16384, 2048
"""A sample of the table."""
SIZES, TEXT_SIZES = (32, 64, 128, 256, 512), (1, 2, 4, 8, 16)
LOOK_S, MEASURE_S = 1.0, 5.0

Batch = dict[str, np.ndarray]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--best", type=Path)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    if options.model.is_dir():
        path, texts = options.model / "1/model.onnx", True
        tokens = tokens_of(options.model / "tokenizer.json", options.table)
    else:
        path, texts = options.model, False
        rows = rows_of(options.table)

    def batches(size: int) -> list[Batch]:
        return padded(tokens, size) if texts else cut(rows, size)

    def rate(way: dict[str, int], seconds: float) -> float:
        return measured(path, batches(way["rows"]), way["runs"], way["threads"], seconds)

    if options.best:
        best = json.loads(options.best.read_text())["way"]
    else:
        ways = [
            {"rows": size, "runs": runs, "threads": cores // runs}
            for size in (TEXT_SIZES if texts else SIZES)
            for runs in sorted({1, cores})
        ]
        # Texts: the whole sample each time, for its lengths are in order.
        best = max(ways, key=lambda way: rate(way, LOOK_S))
    a_second = rate(best, MEASURE_S)
    print(json.dumps({"way": best, "a_second": a_second, "onnxruntime": ort.__version__}))


def rows_of(table: Path) -> np.ndarray:
    batch = next(pq.ParquetFile(table).iter_batches(ROWS, columns=["x"]))
    values = batch.column(0).flatten().to_numpy()
    return values.reshape(len(batch), -1).copy()


def tokens_of(tokenizer: Path, table: Path) -> list[list[int]]:
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(tokenizer))
    made.no_padding()
    made.enable_truncation(256)
    batch = next(pq.ParquetFile(table).iter_batches(TEXTS, columns=["text"]))
    encodings = made.encode_batch_fast(batch.column(0).to_pylist())
    return sorted((encoding.ids for encoding in encodings), key=len)


def cut(rows: np.ndarray, size: int) -> list[Batch]:
    return [{"x": rows[at : at + size]} for at in range(0, len(rows) - size + 1, size)]


def padded(tokens: list[list[int]], size: int) -> list[Batch]:
    """The longest first, so that the last to end are short."""
    batches = []
    for at in range(0, len(tokens), size):
        group = tokens[at : at + size]
        ids = np.zeros((len(group), len(group[-1])), np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(group):
            ids[row, : len(one)], mask[row, : len(one)] = one, 1
        types = np.zeros_like(ids)
        batches.append({"input_ids": ids, "attention_mask": mask, "token_type_ids": types})
    return batches[::-1]


def measured(path: Path, batches: list[Batch], runs: int, threads: int, seconds: float) -> float:
    """Rows a second, over whole passes of the batches, so many as take about that long."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session.run(None, batches[0])
    done, began = 0, time.perf_counter()
    while done == 0 or time.perf_counter() < began + seconds:
        one_pass(session, batches, runs)
        done += sum(len(next(iter(batch.values()))) for batch in batches)
    return done / (time.perf_counter() - began)


def one_pass(session: Any, batches: list[Batch], runs: int) -> None:
    left: Iterator[Batch] = iter(batches)
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                batch = next(left, None)
            if batch is None:
                return
            session.run(None, batch)

    threads = [threading.Thread(target=work) for _ in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()

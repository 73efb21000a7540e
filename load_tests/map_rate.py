"""How much of what the cores can do is left to `jitney map`; and that a kill costs nothing.

    make bench-map
    python load_tests/map_rate.py --models perceptron --pairs 5
    python load_tests/map_rate.py --models perceptron --pairs 0 --kill 5

Parquet in, Parquet out, all columns kept: 200,000 rows of 256 numbers through the perceptron,
20,000 sentences of natural lengths through MiniLM. In pairs, one right after the other:

bare   onnxruntime alone on all cores with its best batches and threads, the rows in memory and
       in order of their length before the clock starts (bare_map.py)
map    the whole command: rate of the whole, and of its work alone, from the line that it says
       before its first row to its end, which leaves out what it takes to start and to load

--kill N: killed by SIGKILL N times, each at a random moment, and started again each time; what is
there in the end must equal what an undisturbed run wrote.

The figures go to load_tests/out/map.json. The exit code is 1 if outputs differ.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import make_perceptron
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from peers.report import machine, say, versions
from peers.sentences import sentences
from real_models import DEFAULT as REAL_MODELS
from server import ENVIRONMENT, child, unwind_when_terminated
from wrk import Failed

HERE = Path(__file__).parent
OUT = HERE / "out" / "map"
TARGET = 0.90
GROUP_ROWS = 8192
MODELS = {"perceptron": 200_000, "minilm": 20_000}
# Of this measurement alone, so that no profile taken on a busy machine counts.
ENVIRON = {**ENVIRONMENT, "XDG_CACHE_HOME": str(OUT / "cache"), "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Mapped:
    """A run of the command that came to its end."""

    whole_s: float
    work_s: float
    """From the line before the first row."""


def main() -> int:
    """Measure, print, record."""
    options = arguments()
    unwind_when_terminated()
    jitney = shutil.which("jitney", path=Path(sys.executable).parent)
    if jitney is None:
        sys.exit(f"there is no jitney command beside {sys.executable}; run `make install`")
    OUT.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "command": sys.argv,
        "machine": machine(),
        "versions": versions(Path(sys.executable), "jitney", "onnxruntime", "pyarrow"),
        "models": {},
    }
    same = True
    try:
        for name in options.models:
            rows = options.rows or MODELS[name]
            model, table = prepared(name, rows)
            result: dict[str, Any] = {"rows": rows, "pairs": []}
            record["models"][name] = result
            if options.pairs:
                result |= pairs(jitney, name, model, table, rows, options.pairs)
            if options.kill:
                result["kills"] = kills(jitney, model, table, options.kill, options.seed)
                same = same and result["kills"]["same"]
    except Failed as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    options.json.write_text(json.dumps(record, indent=1))
    print(report(record["models"]))
    return 0 if same else 1


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--pairs", type=int, default=5, help="of bare and map (5)")
    parser.add_argument("--rows", type=int, help="of the table (200,000; sentences 20,000)")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="times (0)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills (0)")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "map.json")
    options = parser.parse_args()
    if min(options.pairs, options.kill) < 0 or (options.rows or 1) < 1:
        parser.error("--pairs and --kill must be at least 0, --rows at least 1")
    return options


def prepared(name: str, rows: int) -> tuple[Path, Path]:
    """The model and its table, which is kept for the next time. Raises Failed."""
    table = OUT / f"{name}-{rows}.parquet"
    if name == "perceptron":
        make_perceptron.write(make_perceptron.DEFAULT)
        if not table.exists():
            say(f"writing {table} …")
            write_numbers(table, rows)
        return make_perceptron.DEFAULT, table
    model = REAL_MODELS / "minilm"
    if not (model / "1/model.onnx").is_file():
        raise Failed(f"{model} is not there; run: make models")
    if not table.exists():
        texts = sentences(model / "tokenizer.json", rows)
        pq.write_table(pa.table({"id": np.arange(rows), "text": texts}), table)
    return model, table


def write_numbers(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    width = make_perceptron.INPUTS
    schema = pa.schema([("id", pa.int64()), ("x", pa.list_(pa.float32()))])
    unfinished = path.with_suffix(".tmp")
    with pq.ParquetWriter(unfinished, schema) as writer:
        for first in range(0, rows, GROUP_ROWS):
            count = min(GROUP_ROWS, rows - first)
            values = pa.array(rng.standard_normal(count * width, np.float32))
            ends = pa.array(np.arange(0, count * width + 1, width), pa.int32())
            ids = pa.array(np.arange(first, first + count))
            lists = pa.ListArray.from_arrays(ends, values)
            writer.write_table(pa.table([ids, lists], schema))
    unfinished.replace(path)


def pairs(
    jitney: str, name: str, model: Path, table: Path, rows: int, count: int
) -> dict[str, Any]:
    """Rates in turn. Raises Failed."""
    say(f"{name}: looking for the best way to run it bare …")
    best = OUT / f"{name}.best.json"
    best.write_text(json.dumps(bare(model, table)))
    mapped(jitney, model, table, OUT / f"{name}.out.parquet")  # also takes the profile
    measured = []
    for number in range(1, count + 1):
        alone = bare(model, table, "--best", best)["a_second"]
        run = mapped(jitney, model, table, OUT / f"{name}.out.parquet")
        pair = {"bare": alone, "work": rows / run.work_s, "whole": rows / run.whole_s}
        measured.append(pair)
        say(
            f"{name}, pair {number}: bare {alone:,.0f} a second; map {pair['work']:,.0f} "
            f"({pair['work'] / alone:.2f}), with its start {pair['whole']:,.0f} "
            f"({pair['whole'] / alone:.2f})"
        )
    return {"best": json.loads(best.read_text())["way"], "pairs": measured}


def bare(model: Path, table: Path, *more: str | Path) -> dict[str, Any]:
    command = [sys.executable, HERE / "bare_map.py", model, table, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"bare_map.py failed: {done.stderr.strip()[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def command_of(jitney: str, model: Path, table: Path, output: Path) -> list[str]:
    return [jitney, "map", str(model), str(table), str(output)]


def mapped(jitney: str, model: Path, table: Path, output: Path) -> Mapped:
    """To its end, into an output that is not there yet. Raises Failed."""
    clear(output)
    began = time.monotonic()
    first = None
    said = ""
    command = command_of(jitney, model, table, output)
    with child(command, stderr=subprocess.PIPE, text=True, env=ENVIRON) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if first is None and line.startswith("batches of "):
                first = time.monotonic()
        process.wait()
    ended = time.monotonic()
    if process.returncode != 0 or first is None:
        raise Failed(f"jitney map ended with {process.returncode}: {said.strip()[-500:]}")
    return Mapped(ended - began, ended - first)


def kills(jitney: str, model: Path, table: Path, count: int, seed: int) -> dict[str, Any]:
    """Killed so often and started again; whether the outputs are the same. Raises Failed."""
    whole, output = OUT / "undisturbed.parquet", OUT / "killed.parquet"
    say("undisturbed …")
    undisturbed = mapped(jitney, model, table, whole)
    # All kills within the time of one run, for each start goes on with what was done.
    rng = random.Random(seed)
    clear(output)
    moments_s = []
    command = command_of(jitney, model, table, output)
    while len(moments_s) < count:
        moment_s = rng.uniform(0.1, 1.6) * undisturbed.whole_s / count
        with child(command, stderr=subprocess.DEVNULL, env=ENVIRON) as process:
            try:
                process.wait(moment_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                moments_s.append(moment_s)
                parts = len(list(output.parent.glob(f"{output.name}.parts/part-*.json")))
                say(f"killed after {moment_s:.1f} s; {parts} parts are safe")
                continue
        raise Failed("it was complete before the last kill; another --seed may be slower")
    finished = subprocess.run(command, capture_output=True, text=True, env=ENVIRON, check=False)
    if finished.returncode != 0:
        raise Failed(f"jitney map ended with {finished.returncode}: {finished.stderr[-500:]}")
    same = pq.read_table(output).equals(pq.read_table(whole))
    return {"moments_s": moments_s, "same": same}


def clear(output: Path) -> None:
    """Remove an output and all that belongs to it. It is in a folder that only we write."""
    for path in output.parent.glob(f"{output.name}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def report(models: dict[str, Any]) -> str:
    """The table, and what came of the kills."""
    lines = [
        "| model | pair | bare, rows/s | map's work | over bare | with its start | over bare |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    told = []
    for name, result in models.items():
        rows = [
            (p["bare"], p["work"], p["work"] / p["bare"], p["whole"], p["whole"] / p["bare"])
            for p in result["pairs"]
        ]
        if rows:
            middle = tuple(map(statistics.median, zip(*rows, strict=True)))
            named = [*((str(n), row) for n, row in enumerate(rows, 1)), ("**median**", middle)]
            for number, (alone, work, ratio, whole, of_whole) in named:
                lines.append(
                    f"| {name} | {number} | {alone:,.0f} | {work:,.0f} | {ratio:.2f} | "
                    f"{whole:,.0f} | {of_whole:.2f} |"
                )
            told.append(f"{name}: {middle[2]:.2f} of bare, target {TARGET:.2f}.")
        if kills := result.get("kills"):
            verdict = "equals" if kills["same"] else "DIFFERS from"
            told.append(
                f"{name}: killed {len(kills['moments_s'])} times, the output {verdict} an "
                "undisturbed one."
            )
    return "\n".join([*(lines if len(lines) > 2 else []), "", *told]).strip()


if __name__ == "__main__":
    os.chdir(HERE.parent)
    sys.exit(main())

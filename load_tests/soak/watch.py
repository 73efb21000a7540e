"""Ten minutes of everything at once: no error, and nothing that grows.

    make soak                                  # SECONDS=60 make soak: a short one
    python load_tests/soak/watch.py --seconds 60 --users 36

`jitney serve` with all the models that there are, and locust's soak shape of users who want
JSON and bytes, ask wrongly, and leave (users.py). Each second the server's resident memory,
threads and file descriptors are noted. Exit code 0 if every answer was right, the memory's slope
is within its noise (slope.py), and neither threads nor descriptors grew; else 1. Linux only.

It is no measurement of speed: locust takes as much of the machine as the server does. The
figures go to load_tests/out/soak.json; `make report` draws them.
"""

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from operator import itemgetter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import make_perceptron
from peers.report import machine, say, versions
from run import MODELS, quantile
from server import NotServing, child, serving, unwind_when_terminated
from soak.slope import count_grew, judged, memory_grew, slope

HERE = Path(__file__).parent
OUT = HERE.parent / "out"
EVERY_S = 1.0
PROGRESS_S = 30.0

Samples = dict[str, list[Any]]


def main() -> int:
    """Run, judge, record."""
    options = arguments()
    unwind_when_terminated()
    if importlib.util.find_spec("locust") is None:
        print("locust is not installed: pip install -e '.[load]'", file=sys.stderr)
        return 1
    missing = [name for name, root in MODELS.items() if not (root / name).is_dir()]
    if missing:
        print(f"{', '.join(missing)} is missing; run: make models", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    make_perceptron.write(make_perceptron.DEFAULT)
    try:
        record = soak(options)
    except (NotServing, ChildProcessError) as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the server has been ended.", file=sys.stderr)
        return 130
    (options.out / "soak.json").write_text(json.dumps(record) + "\n")
    print(summary(record))
    return int(bool(record["problems"]))


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=600, help="for how long (600)")
    parser.add_argument("--users", type=int, default=36, help="half of them are there (36)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder (load_tests/out)")
    options = parser.parse_args()
    if options.seconds < 20 or options.users < 1:
        parser.error("--seconds must be at least 20, --users at least 1")
    return options


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """The record. Raises NotServing, or ChildProcessError if locust failed to run."""
    folders = dict.fromkeys(MODELS.values())
    log = options.out / "soak-server.log"
    with serving(*folders, make_perceptron.DEFAULT, log=log) as server:
        print(
            f"{options.users // 2} users of {', '.join(MODELS)} and the perceptron for "
            f"{options.seconds} s on {server.url} …",
            flush=True,
        )
        entries, samples = load(server.url, server.process.pid, options)
    record = {
        "kind": "soak",
        "format": 1,
        "command": shlex.join(["python", "load_tests/soak/watch.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": {"jitney": versions(Path(sys.executable), "jitney", "onnxruntime", "locust")},
        "seconds": options.seconds,
        "users": options.users // 2,
        "entries": entries,
        "samples": samples,
    }
    return record | verdict(entries, samples)


def load(url: str, pid: int, options: argparse.Namespace) -> tuple[list[dict[str, Any]], Samples]:
    """Run locust and watch the server. What came of each kind of request, and the samples."""
    final, log = options.out / "soak-final.json", options.out / "soak-locust.log"
    final.unlink(missing_ok=True)  # an old one must not pass for this run's
    command = [sys.executable, "-m", "locust", "--locustfile", str(HERE / "users.py")]
    command += ["--host", url, "--headless", "--only-summary", "--stop-timeout", "10"]
    command += ["--json-file", str(final.with_suffix(""))]
    said = {"SHAPE": "soak", "USERS": str(options.users), "SECONDS": str(options.seconds)}
    said["MODELS"] = ",".join(MODELS)
    samples: Samples = {"at_s": []}
    with (
        log.open("wb") as output,
        child(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **said}
        ) as locust,
    ):
        began = time.monotonic()
        told_s = 0.0
        while locust.poll() is None:
            at_s = time.monotonic() - began
            if at_s <= options.seconds:
                samples["at_s"].append(round(at_s, 2))
                for name, value in sample(pid).items():
                    samples.setdefault(name, []).append(value)
            if at_s - told_s >= PROGRESS_S:
                told_s = at_s
                latest = {name: values[-1] for name, values in samples.items()}
                say(", ".join(f"{name} {value:g}" for name, value in latest.items()))
            try:
                locust.wait(EVERY_S - (time.monotonic() - began) % EVERY_S)
            except subprocess.TimeoutExpired:
                continue
    # 1 is locust's word for failed requests.
    if locust.returncode not in (0, 1) or not final.exists():
        raise ChildProcessError(f"locust ended with exit code {locust.returncode}: {log}")
    return [entry_of(each) for each in json.loads(final.read_text())], samples


def entry_of(entry: dict[str, Any]) -> dict[str, Any]:
    """What is worth keeping of locust's statistics."""
    requests, times = entry["num_requests"], entry["response_times"]
    took_s = max(1e-3, entry["last_request_timestamp"] - entry["start_time"])
    return {
        "name": entry["name"],
        "requests": requests,
        "failed": entry["num_failures"],
        "a_second": requests / took_s,
        "p50_ms": float(quantile(times, 0.5)),
        "p99_ms": float(quantile(times, 0.99)),
    }


def sample(pid: int) -> dict[str, float]:
    """A process now. Memory is in MB."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return {
        "resident_mb": int(status["VmRSS"].split()[0]) / 1e3,
        # Without the files that are mapped, such as libraries.
        "anonymous_mb": int(status["RssAnon"].split()[0]) / 1e3,
        "threads": int(status["Threads"]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
    }


def verdict(entries: list[dict[str, Any]], samples: Samples) -> dict[str, Any]:
    """The slope, and what is not as it should be."""
    seen = judged(samples)
    found = slope(seen["at_s"], seen["resident_mb"])
    failed = {entry["name"]: entry["failed"] for entry in entries if entry["failed"]}
    problems = [f"{number:,} {name}: failed" for name, number in failed.items()]
    if not any(entry["requests"] for entry in entries):
        problems.append("nothing was asked")
    problems += [
        memory_grew(seen["at_s"], seen["resident_mb"]),
        count_grew("threads", seen["threads"]),
        count_grew("file descriptors", seen["descriptors"]),
    ]
    return {
        "judged_from_s": seen["at_s"][0],
        "slope_mb_a_minute": {
            "value": found.value * 60,
            "low": found.low * 60,
            "high": found.high * 60,
        },
        "problems": [problem for problem in problems if problem],
    }


def summary(record: dict[str, Any]) -> str:
    """For the terminal."""
    lines = [f"{'':20}{'requests':>10}{'failed':>8}{'a second':>10}{'p50 ms':>8}{'p99 ms':>8}"]
    lines += [
        f"{entry['name']:20}{entry['requests']:>10,}{entry['failed']:>8}"
        f"{entry['a_second']:>10,.0f}{entry['p50_ms']:>8g}{entry['p99_ms']:>8g}"
        for entry in sorted(record["entries"], key=itemgetter("name"))
    ]
    seen, line = judged(record["samples"]), record["slope_mb_a_minute"]
    lines.append(
        f"From {record['judged_from_s']:.0f} s on: resident {min(seen['resident_mb']):.1f} to "
        f"{max(seen['resident_mb']):.1f} MB, slope {line['value']:+.3f} MB a minute "
        f"({line['low']:+.3f} to {line['high']:+.3f}); threads {min(seen['threads'])} to "
        f"{max(seen['threads'])}; descriptors {min(seen['descriptors'])} to "
        f"{max(seen['descriptors'])}."
    )
    problems = record["problems"]
    lines.append(f"Failed: {'; '.join(problems)}." if problems else "Passed: nothing grew.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

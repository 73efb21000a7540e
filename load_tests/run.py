"""A few seconds of locust against a server started for it, and a verdict.

    python load_tests/run.py --users 64 --seconds 30
    python load_tests/run.py --shape spike --p99-ms 500 --least-a-second 200
    python load_tests/run.py --models digits,iris --host http://127.0.0.1:8000
    python load_tests/run.py --page

Exit code 0 if requests were answered, every answer was right, and the limits that were given
are kept; else 1. magika and minilm are asked too, once `make models` has put them there.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

import shapes
from server import NotServing, child, serving, unwind_when_terminated

HERE = Path(__file__).parent

# Where the model's folders are, by name.
ZOO, REAL = HERE.parent / "models" / "zoo", HERE / "out" / "real_models"
MODELS = {"digits": ZOO, "iris": ZOO, "magika": REAL, "minilm": REAL}


def main() -> int:
    """Run the load and say how it went."""
    options = arguments()
    unwind_when_terminated()
    if importlib.util.find_spec("locust") is None:
        print("locust is not installed: pip install -e '.[load]'", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with target(options) as url:
            if options.page:
                return show_page(url, options)
            plural = "s" if options.users > 1 else ""
            print(
                f"{options.shape}: {options.users} user{plural} of {', '.join(options.models)} "
                f"for {options.seconds:g} s on {url} …",
                flush=True,
            )
            entries, content = load(url, options)
    except (NotServing, ChildProcessError) as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the server has been ended.", file=sys.stderr)
        return 130
    return verdict(entries, content, options)


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=16, help="how many at the most (16)")
    parser.add_argument("--seconds", type=int, help="for how long (steady: 5, soak: 600)")
    parser.add_argument(
        "--shape", choices=shapes.SHAPES, default="steady", help="how many when (steady)"
    )
    parser.add_argument("--models", help="which, with commas between (all that are there)")
    parser.add_argument("--p99-ms", type=float, help="a kind of request that is slower fails")
    parser.add_argument("--least-a-second", type=float, help="fewer answers in all fail")
    parser.add_argument("--page", action="store_true", help="locust's own page, until Ctrl-C")
    parser.add_argument("--page-port", type=int, default=8089, help="where (8089)")
    parser.add_argument("--host", help="test the server at this URL instead of starting one")
    parser.add_argument(
        "--out", type=Path, default=HERE / "out", help="folder for the reports (load_tests/out)"
    )
    options = parser.parse_args()
    options.seconds = shapes.SECONDS[options.shape] if options.seconds is None else options.seconds
    there = [name for name, root in MODELS.items() if options.host or (root / name).is_dir()]
    if options.host and not options.models:
        there = ["digits", "iris"]
    options.models = options.models.split(",") if options.models else there
    if unknown := set(options.models) - set(MODELS):
        parser.error(f"no users of {', '.join(sorted(unknown))}, only of {', '.join(MODELS)}")
    if missing := set(options.models) - set(there) if not options.host else set():
        parser.error(f"{', '.join(sorted(missing))} is not in {REAL}; run: make models")
    if options.users < 1 or options.seconds < 1:
        parser.error("--users and --seconds must be at least 1")
    return options


@contextmanager
def target(options: argparse.Namespace) -> Iterator[str]:
    """The server under test: the one that was named, or one of our own."""
    if options.host:
        yield options.host.rstrip("/")
        return
    folders = dict.fromkeys(MODELS[name] for name in options.models)
    with serving(*folders, log=options.out / "server.log") as server:
        print(f"Started jitney serve (process {server.process.pid}).", flush=True)
        yield server.url


def command_for(url: str) -> list[str]:
    """locust, with what it needs in any case."""
    file = str(HERE / "locustfile.py")
    return [sys.executable, "-m", "locust", "--locustfile", file, "--host", url]


def environment(options: argparse.Namespace, shape: str) -> dict[str, str]:
    """What locustfile.py reads."""
    users, seconds = str(options.users), str(options.seconds)
    said = {"MODELS": ",".join(options.models), "SHAPE": shape, "USERS": users, "SECONDS": seconds}
    return {**os.environ, **said}


def show_page(url: str, options: argparse.Namespace) -> int:
    """locust's own page, for as long as somebody wants it."""
    command = [*command_for(url), "--class-picker", "--users", str(options.users)]
    command += ["--web-host", "127.0.0.1", "--web-port", str(options.page_port)]
    print(f"The page is http://127.0.0.1:{options.page_port}; Ctrl-C ends it.", flush=True)
    with child(command, env=environment(options, "")) as locust:
        return locust.wait()


def load(url: str, options: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """Run locust; its statistics, one entry a kind of request, and whether it was content."""
    final = options.out / "final.json"
    final.unlink(missing_ok=True)  # an old one must not pass for this run's
    command = [*command_for(url), "--headless", "--only-summary"]
    # What is under way when time is up is waited for, so that it is checked too.
    command += ["--stop-timeout", "10"]
    command += ["--html", str(options.out / "report.html"), "--csv", str(options.out / "locust")]
    # The CSV files leave out the last second; the verdict must not.
    command += ["--json-file", str(final.with_suffix(""))]
    log = options.out / "locust.log"
    said = environment(options, options.shape)
    with (
        log.open("wb") as output,
        child(command, stdout=output, stderr=subprocess.STDOUT, env=said) as locust,
    ):
        code = locust.wait()
    # 1 is locust's word for failed requests.
    if code not in (0, 1) or not final.exists():
        raise ChildProcessError(f"locust ended with exit code {code}: {log}")
    return json.loads(final.read_text()), code == 0


def verdict(entries: list[dict[str, Any]], content: bool, options: argparse.Namespace) -> int:
    """Print the summary; the exit code."""
    out = options.out
    print(f"{'':16}{'requests':>10}{'failed':>8}{'a second':>10}{'p50 ms':>8}{'p99 ms':>8}")
    for entry in sorted(entries, key=itemgetter("name")):
        requests, times = entry["num_requests"], entry["response_times"]
        rate = requests / max(1e-3, entry["last_request_timestamp"] - entry["start_time"])
        print(
            f"{entry['name']:16}{requests:>10}{entry['num_failures']:>8}{rate:>10.0f}"
            f"{quantile(times, 0.5):>8}{quantile(times, 0.99):>8}"
        )
    print(f"Report: {out / 'report.html'}")
    if not any(entry["num_requests"] for entry in entries):
        print("Failed: nothing was asked.", file=sys.stderr)
    elif not content or any(entry["num_failures"] for entry in entries):
        print(f"Failed:{(out / 'locust.log').read_text().partition('Error report')[2]}", end="")
    elif limits := missed(entries, options):
        print(f"Failed: {'; '.join(limits)}.", file=sys.stderr)
    else:
        print("Passed: every answer was right.")
        return 0
    return 1


def missed(entries: list[dict[str, Any]], options: argparse.Namespace) -> list[str]:
    """The limits that are not kept, and what is so instead."""
    said = []
    for entry in entries if options.p99_ms is not None else ():
        p99_ms = quantile(entry["response_times"], 0.99)
        if p99_ms != "-" and float(p99_ms) > options.p99_ms:
            said.append(f"{entry['name']}: p99 {p99_ms} ms, at most {options.p99_ms:g} wanted")
    a_second = sum(entry["num_requests"] for entry in entries) / options.seconds
    if options.least_a_second is not None and a_second < options.least_a_second:
        said.append(f"{a_second:.0f} answers a second, {options.least_a_second:g} wanted")
    return said


def quantile(times: dict[str, int], share: float) -> str:
    """A quantile out of locust's counts by rounded milliseconds."""
    seen, wanted = 0, share * sum(times.values())
    for time_ms, number in sorted((float(time_ms), number) for time_ms, number in times.items()):
        seen += number
        if seen >= wanted:
            return f"{time_ms:g}"
    return "-"


if __name__ == "__main__":
    sys.exit(main())

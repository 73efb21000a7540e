"""A few seconds of locust against a server started for it, and a verdict.

    python load_tests/run.py --users 64 --seconds 30
    python load_tests/run.py --host http://127.0.0.1:8000

Exit code 0 if requests were answered and every answer was right, else 1.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

from server import NotServing, child, serving, unwind_when_terminated

HERE = Path(__file__).parent


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
            plural = "s" if options.users > 1 else ""
            print(f"{options.users} user{plural} for {options.seconds:g} s on {url} …", flush=True)
            entries, content = load(url, options)
    except (NotServing, ChildProcessError) as error:
        print(f"Failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the server has been ended.", file=sys.stderr)
        return 130
    return verdict(entries, content, options.out)


def arguments() -> argparse.Namespace:
    """The options, with what they mean."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=16, help="how many at once (16)")
    parser.add_argument("--seconds", type=int, default=5, help="for how long (5)")
    parser.add_argument("--host", help="test the server at this URL instead of starting one")
    parser.add_argument(
        "--out", type=Path, default=HERE / "out", help="folder for the reports (load_tests/out)"
    )
    options = parser.parse_args()
    if options.users < 1 or options.seconds < 1:
        parser.error("--users and --seconds must be at least 1")
    return options


@contextmanager
def target(options: argparse.Namespace) -> Iterator[str]:
    """The server under test: the one that was named, or one of our own."""
    if options.host:
        yield options.host.rstrip("/")
        return
    with serving(log=options.out / "server.log") as server:
        print(f"Started jitney serve (process {server.process.pid}).", flush=True)
        yield server.url


def load(url: str, options: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """Run locust; its statistics, one entry a kind of request, and whether it was content."""
    final = options.out / "final.json"
    final.unlink(missing_ok=True)  # an old one must not pass for this run's
    command = [sys.executable, "-m", "locust", "--locustfile", str(HERE / "locustfile.py")]
    command += ["--headless", "--only-summary", "--host", url]
    command += ["--users", str(options.users), "--spawn-rate", str(options.users)]
    # What is under way when time is up is waited for, so that it is checked too.
    command += ["--run-time", f"{options.seconds}s", "--stop-timeout", "10"]
    command += ["--html", str(options.out / "report.html"), "--csv", str(options.out / "locust")]
    # The CSV files leave out the last second; the verdict must not.
    command += ["--json-file", str(final.with_suffix(""))]
    log = options.out / "locust.log"
    with (
        log.open("wb") as output,
        child(command, stdout=output, stderr=subprocess.STDOUT) as locust,
    ):
        code = locust.wait()
    # 1 is locust's word for failed requests.
    if code not in (0, 1) or not final.exists():
        raise ChildProcessError(f"locust ended with exit code {code}: {log}")
    return json.loads(final.read_text()), code == 0


def verdict(entries: list[dict[str, Any]], content: bool, out: Path) -> int:
    """Print the summary; the exit code."""
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
    else:
        print("Passed: every answer was right.")
        return 0
    return 1


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

"""Small records, as the measurements write them."""

from typing import Any

MACHINE = {
    "cpu": "A <fast> processor",
    "cores": 2,
    "kernel": "6.1",
    "python": "3.11.7",
    "at": "2026-11-23T05:00:00Z",
}


def peers(rounds: int = 3) -> dict[str, Any]:
    """Three servers, of which one has no open loop and one was left out later."""
    rates = {"jitney": 6000.0, "mosec": 5000.0, "litserve": 1000.0}
    runs, starts, opened = [], [], []
    for number in range(1, rounds + 1):
        # Slower by the round, all of them alike: ratios must not see it.
        slow = 1 + (number - 1) / 10
        for way, rate in rates.items():
            starts.append(
                {"round": number, "way": way, "started_s": 3000 / rate, "idle": 1 / rate * slow}
            )
            for form in ("json", "binary") if way == "jitney" else ("json",):
                for callers, share in ((1, 0.1), (64, 1.0), (256, 1.2)):
                    a_second = rate * share / slow
                    runs.append(
                        {
                            "round": number,
                            "way": way,
                            "form": form,
                            "callers": callers,
                            "a_second": a_second,
                            "p50_ms": 1e3 * callers / a_second,
                            "p99_ms": 2e3 * callers / a_second,
                            "failed": 0,
                            "cpu_us": 1e6 / a_second,
                            "core": 1.0,
                            "resident_mb": 150.0 + callers / 64,
                            "riders": [["64", 10]] if way == "jitney" else [],
                        }
                    )
        opened += [
            {"round": number, "way": way, **open_loop(rates[way] * 0.9, way)}
            for way in ("jitney", "mosec")
        ]
    return {
        "kind": "peers",
        "format": 2,
        "command": "python load_tests/peers/run.py",
        "machine": MACHINE,
        "seconds": 3,
        "labels": {
            "jitney": "Jitney",
            "mosec": "mosec",
            "litserve": "LitServe",
            "ray": "Ray Serve",
        },
        "left_out": {"ray": "not installed; run: make .venv-peers/ray/.installed"},
        "versions": {
            "jitney": {"python": "3.11.7", "jitney": "0.1.0"},
            "mosec": {"mosec": "0.9.8"},
        },
        "installed_mb": {"jitney": 207.0, "mosec": 170.0, "litserve": None},
        "alone": [
            {"round": n, "run_s": {"1": 0.0008, "64": 0.0064, "128": 0.0116}}
            for n in range(1, rounds + 1)
        ],
        "starts": starts,
        "runs": runs,
        "open": opened,
        "took_s": 900.0,
    }


def open_loop(highest: float, way: str) -> dict[str, Any]:
    """What is kept of `jitney bench`: a server that keeps its peak, or one that loses it."""
    runs, overload = [], []
    for times in (0.5, 0.8, 1.0, 1.5, 2.0, 3.0):
        offered = highest * times
        goodput = min(offered, highest) if way == "jitney" or times <= 1 else 0.0
        runs.append(
            {
                "rate": offered,
                "offered": offered,
                "requests": round(2 * offered),
                "answered": round(2 * goodput),
                "in_time": round(2 * goodput),
                "goodput": goodput,
                "late": 0,
                "refused": round(2 * (offered - goodput)),
                "unavailable": 0,
                "expired": 0,
                "failed": 0,
                "lost": 0,
                "void": "the generator was behind" if times == 3 and way == "mosec" else "",
                "latency_ms": {"p50": 10 * times, "p99": 40 * times if goodput else None},
            }
        )
        share = None if runs[-1]["void"] else goodput / highest
        overload.append(
            {"times": times, "goodput": goodput, "beside": [highest] * 2, "share": share}
        )
    return {
        "slo_ms": 100.0,
        "highest_good": highest,
        "lowest_bad": highest * 1.05,
        "overload": [one for one in overload if one["times"] != 1],
        "runs": runs,
    }


def text() -> dict[str, Any]:
    """Two rounds of ours, of one by one, of a peer, and of no server."""
    rates = {"jitney": 200.0, "one by one": 130.0, "infinity": 150.0}
    runs: list[dict[str, Any]] = []
    for number in (1, 2):
        runs.append({"round": number, "way": "alone", "callers": 1, "a_second": 160.0})
        for way, rate in rates.items():
            runs += [
                {"round": number, "way": way, "callers": callers, "a_second": rate * share}
                for callers, share in ((1, 0.6), (64, 1.0))
            ]
    return {
        "kind": "text",
        "format": 1,
        "command": "python load_tests/text.py",
        "machine": MACHINE,
        "versions": {"jitney": {"jitney": "0.1.0"}},
        "left_out": {},
        "runs": runs,
    }


def soak(problems: tuple[str, ...] = ()) -> dict[str, Any]:
    """A minute."""
    at_s = [float(n) for n in range(60)]
    entry = {"name": "digits, JSON", "requests": 1000, "failed": 0, "a_second": 17.0}
    return {
        "kind": "soak",
        "format": 1,
        "command": "python load_tests/soak/watch.py --seconds 60",
        "machine": MACHINE,
        "versions": {"jitney": {"jitney": "0.1.0"}},
        "seconds": 60,
        "users": 18,
        "entries": [entry | {"p50_ms": 1.0, "p99_ms": 2.0}],
        "samples": {
            "at_s": at_s,
            "resident_mb": [200.0 + n % 3 for n in range(60)],
            "anonymous_mb": [150.0 + n % 3 for n in range(60)],
            "threads": [14] * 60,
            "descriptors": [30 + n % 2 for n in range(60)],
        },
        "judged_from_s": 15.0,
        "slope_mb_a_minute": {"value": 0.01, "low": -0.1, "high": 0.12},
        "problems": list(problems),
    }

"""What LoadGen's own summary says."""

import re
from dataclasses import dataclass
from pathlib import Path

NAME = "mlperf_log_summary.txt"


class NoSummary(Exception):
    """There is none, or it is not one."""


@dataclass(frozen=True)
class Summary:
    """The verdict of one run."""

    scenario: str
    valid: bool
    """LoadGen's own word."""
    missed: tuple[str, ...]
    """What it says was not satisfied."""
    a_second: float
    """Server: samples that were due a second. Offline: samples answered a second."""
    p50_s: float
    p99_s: float


def read(folder: Path) -> Summary:
    """Of the run whose log is in the folder. Raises NoSummary."""
    try:
        return parse((folder / NAME).read_text())
    except OSError as error:
        raise NoSummary(f"LoadGen wrote no summary: {error}") from error


def parse(text: str) -> Summary:
    """Raises NoSummary for what is none."""
    pairs = re.findall(r"^\s*([^:\n]+?)\s*: (.+?)\s*$", text, re.MULTILINE)
    values = dict(reversed(pairs))  # of double names the first counts
    missed = [name for name, value in pairs if name.endswith("satisfied") and value == "NO"]
    try:
        scenario = values["Scenario"]
        rate = "Scheduled samples per second" if scenario == "Server" else "Samples per second"
        return Summary(
            scenario=scenario,
            valid=values["Result is"] == "VALID",
            missed=tuple(name.removesuffix(" satisfied").lower() for name in missed),
            a_second=float(values[rate]),
            p50_s=float(values["50.00 percentile latency (ns)"]) / 1e9,
            p99_s=float(values["99.00 percentile latency (ns)"]) / 1e9,
        )
    except (KeyError, ValueError) as error:
        raise NoSummary(f"LoadGen's summary is not as expected: {error}") from error

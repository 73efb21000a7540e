"""The sections of the page, in their order. Pure.

A section is a title, a sentence that says what its figures mean, the kind of record it is made
of, and a function from the record to HTML, which gives nothing where the record has nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from report import being, coming, figures, long, waiting
from report.figures import Values


@dataclass(frozen=True)
class Section:
    """One question and how it is answered."""

    title: str
    says: str
    kind: str
    draw: Callable[[Values], str]


SECTIONS: tuple[Section, ...] = (
    Section(
        "Throughput against callers",
        "Callers who each wait for their answer before they ask again, over connections that are "
        "kept: what a server does that is never idle. The dashed line is onnxruntime on the same "
        "core with no server, in batches of 64.",
        "peers",
        waiting.throughput,
    ),
    Section(
        "Latency against offered rate",
        "Callers who come when they like (Poisson), whatever comes back. Latency counts from the "
        "instant at which a request was due. Who is refused has no latency here, but counts as "
        "late where the highest rate is searched.",
        "peers",
        coming.latency,
    ),
    Section(
        "Goodput against overload",
        "How much is still answered within 100 ms when more comes than a server can do, of what "
        "it answered at its highest rate right before and after. Each is told, as far as it can "
        "be, that answers are worth nothing later: Jitney by --slo-ms, mosec by the length of its "
        "queue, found by hand for the rate measured just before. What Triton has for it made it "
        "worse, and is off.",
        "peers",
        coming.goodput,
    ),
    Section(
        "Text with natural lengths",
        "512 sentences of log-normal length (median 21 tokens, mean 28, the longest 256) through "
        "MiniLM with 8-bit weights, one a request.",
        "text",
        long.text,
    ),
    Section(
        "CPU time a request",
        "User and system time of all processes of a server over the requests that it answered; "
        "and what is left without the model's own, measured with no server.",
        "peers",
        waiting.cpu,
    ),
    Section(
        "A lone request",
        "What a caller waits who is alone, over the time that onnxruntime takes for one row.",
        "peers",
        waiting.lone,
    ),
    Section(
        "Idle cost",
        "CPU time of all processes of a server that nobody asks for 3 s, in percent of a core.",
        "peers",
        being.single("idle", "% of a core", "{:.2f}%", 100),
    ),
    Section(
        "Start-up",
        "From the command to the first right answer, with all files in memory; for Jitney, with "
        "the model's profile kept from an earlier start.",
        "peers",
        being.single("started_s", "seconds", "{:.2f}"),
    ),
    Section(
        "Resident memory",
        "Of all processes after the load, what they share counted once. The model's weights are "
        "36 MB of it.",
        "peers",
        being.resident,
    ),
    Section(
        "Memory over time",
        "Digits, flowers, files, sentences and rows of numbers, as JSON and as bytes, wrong "
        "requests and callers who leave, all at once.",
        "soak",
        long.soak,
    ),
    Section(
        "Installed size",
        "The packages that were asked for with all that they need, onnxruntime included.",
        "peers",
        being.installed,
    ),
)


def provenance(record: Values) -> dict[str, Any]:
    """What a reader must know to believe a section: command, machine, date, versions."""
    at = record["machine"]
    return {
        "command": record["command"],
        "machine": f"{at['cpu']}, {at['cores']} cores, Linux {at['kernel']}",
        "date": at["at"],
        "versions": "; ".join(
            f"{figures.label(record, way)}: "
            + ", ".join(f"{name} {value}" for name, value in found.items() if value)
            for way, found in record["versions"].items()
        ),
        "left_out": {
            figures.label(record, way): why for way, why in record.get("left_out", {}).items()
        },
    }

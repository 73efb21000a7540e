"""What is drawn of the runs, and the file that it goes to."""

from collections.abc import Sequence
from importlib.util import find_spec
from math import isfinite
from pathlib import Path

from .figures import Figures, middle_runs
from .svg import COLOURS, Axis, Line, Panel, drawable, svg

_RATE = Axis("requests offered a second")


class CannotPlot(Exception):
    """Not as this kind of file."""


def check(path: Path) -> None:
    """Raises CannotPlot before anything is measured, rather than afterwards."""
    if path.suffix not in (".svg", ".png"):
        raise CannotPlot(f"a plot is an .svg or a .png file, not {path.name!r}")
    if path.suffix == ".png" and find_spec("matplotlib") is None:
        raise CannotPlot("a .png needs matplotlib, which is not installed; .svg needs nothing")


def panels(runs: Sequence[Figures]) -> list[Panel]:
    """Of one rate the latency by share of requests; of several, what changes with the rate."""
    counted = middle_runs(runs)
    if not counted:
        axis = Axis("")
        return [Panel("Every run was void: the generator was behind.", axis, axis, ())]
    if len(counted) == 1:
        return [_shares(counted[0])]
    return [_latencies(counted), _goodput(counted)]


def _latencies(runs: Sequence[Figures]) -> Panel:
    slo_ms = runs[0].judge.slo_s * 1e3
    lines = []
    for number, name in enumerate(("p50", "p99")):
        found = [(run.offered, run.latencies[name].value * 1e3) for run in runs]
        lines.append(Line(name, [point for point in found if isfinite(point[1])], number))
    lines.append(Line(f"SLO {slo_ms:g} ms", _rule(runs, slo_ms), 3, dashed=True))
    return Panel("Latency of the answers", _RATE, Axis("milliseconds", logarithmic=True), lines)


def _goodput(runs: Sequence[Figures]) -> Panel:
    lines = [
        Line("all of them", [(run.offered, run.offered) for run in runs], 3, dashed=True),
        Line("in time", [(run.offered, run.goodput) for run in runs], 2),
        Line("no, at once", [(run.offered, run.refused / run.plan.seconds) for run in runs], 4),
    ]
    slo_ms = runs[0].judge.slo_s * 1e3
    return Panel(f"Answered within {slo_ms:g} ms", _RATE, Axis("requests a second"), lines)


def _rule(runs: Sequence[Figures], at: float) -> list[tuple[float, float]]:
    return [(run.offered, at) for run in (runs[0], runs[-1])]


def _shares(run: Figures) -> Panel:
    """The further to the right, the rarer: 99% is as far from 90% as 99.9% from 99%."""
    points = [(1 / (1 - share), value * 1e3) for share, value in run.curve]
    names = {1.0: "0", 2.0: "50%", 10.0: "90%", 100.0: "99%", 1e3: "99.9%", 1e4: "99.99%"}
    x = Axis("of the answers took no longer", logarithmic=True, names=names)
    slo_ms = run.judge.slo_s * 1e3
    ends = [(points[0][0], slo_ms), (points[-1][0], slo_ms)] if points else []
    lines = [Line("latency", points), Line(f"SLO {slo_ms:g} ms", ends, 3, dashed=True)]
    title = f"Latency at {run.offered:,.0f} requests a second"
    return Panel(title, x, Axis("milliseconds", logarithmic=True), lines)


def write(path: Path, runs: Sequence[Figures], note: str) -> None:
    """Raises CannotPlot or OSError."""
    check(path)
    if path.suffix == ".svg":
        path.write_text(svg(panels(runs), note), encoding="utf-8")
    else:
        _png(path, panels(runs), note)


def _png(path: Path, drawn: Sequence[Panel], note: str) -> None:
    # Not among our dependencies: 60 MB for one kind of file.
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

    figure = Figure(figsize=(7.2, 3.4 * max(1, len(drawn))), layout="constrained")
    for number, panel in enumerate(drawn):
        axes = figure.add_subplot(len(drawn), 1, number + 1)
        for line in drawable(panel):
            style = "--" if line.dashed else "-"
            xs, ys = [p[0] for p in line.points], [p[1] for p in line.points]
            axes.plot(xs, ys, style, color=COLOURS[line.colour % 5], label=line.name)
        axes.set(title=panel.title, xlabel=panel.x.label, ylabel=panel.y.label)
        axes.set_xscale("log" if panel.x.logarithmic else "linear")
        axes.set_yscale("log" if panel.y.logarithmic else "linear")
        if panel.x.names:
            axes.set_xticks(list(panel.x.names), list(panel.x.names.values()))
        axes.legend()
    figure.supxlabel(note, fontsize=8)
    figure.savefig(path)

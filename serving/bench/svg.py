"""A picture of lines in two axes, as SVG: what a browser shows with nothing installed. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, log10

COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df")
WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 48


@dataclass(frozen=True)
class Line:
    """Points that are joined, or a rule from side to side."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """What is drawn along one side."""

    label: str
    logarithmic: bool = False
    names: dict[float, str] = field(default_factory=dict)
    """Where it says what; empty for round numbers."""


@dataclass(frozen=True)
class Panel:
    """One picture."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]


class _Scale:
    """From values to places on paper."""

    def __init__(self, axis: Axis, values: Sequence[float], begin: float, end: float) -> None:
        low, high = min(values, default=0.0), max(values, default=1.0)
        self._log = axis.logarithmic
        if self._log:
            low, high = floor(log10(low)), max(ceil(log10(high)), floor(log10(low)) + 1)
            self.ticks = {float(10.0**n): _number(10.0**n) for n in range(low, high + 1)}
            if axis.names:
                low, high = log10(min(values)), log10(max(values)) or 1
        else:
            low = min(0.0, low)
            high = high if high > low else low + 1
            step = _round_step((high - low) / 5)
            high = ceil(high / step - 1e-9) * step
            count = round((high - low) / step)
            self.ticks = {low + n * step: _number(low + n * step) for n in range(count + 1)}
        if axis.names:
            self.ticks = dict(axis.names)
        self._low, self._high, self._begin, self._end = low, high, begin, end

    def place(self, value: float) -> float:
        at = log10(value) if self._log else value
        share = (at - self._low) / ((self._high - self._low) or 1)
        return self._begin + share * (self._end - self._begin)

    def shown(self) -> Iterator[tuple[float, str]]:
        """Places and texts of the ticks."""
        lowest, highest = sorted((self._begin, self._end))
        for value, text in self.ticks.items():
            at = self.place(value)
            if lowest - 1 <= at <= highest + 1:
                yield at, text


def _round_step(step: float) -> float:
    power = 10.0 ** floor(log10(step))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= step * (1 - 1e-9))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.3g}"


def svg(panels: Sequence[Panel], note: str = "") -> str:
    """The panels one below the other, and a note under them."""
    height = HEIGHT * len(panels) + (24 if note else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {number * HEIGHT})">', *_panel(panel), "</g>"]
    if note:
        parts.append(f'<text x="{LEFT}" y="{height - 10}" fill="#57606a">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def drawable(panel: Panel) -> list[Line]:
    """Its lines without the points that a logarithmic axis has no place for."""
    return [
        Line(
            line.name,
            [
                (x, y)
                for x, y in line.points
                if (x > 0 or not panel.x.logarithmic) and (y > 0 or not panel.y.logarithmic)
            ],
            line.colour,
            line.dashed,
        )
        for line in panel.lines
    ]


def _panel(panel: Panel) -> Iterator[str]:
    lines = drawable(panel)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    points = [point for line in lines for point in line.points]
    yield f'<text x="{LEFT}" y="18" font-size="14" font-weight="bold">{escape(panel.title)}</text>'
    if not points:
        yield f'<text x="{LEFT}" y="{TOP + 30}">There is nothing to draw.</text>'
        return
    x = _Scale(panel.x, [point[0] for point in points], LEFT, right)
    y = _Scale(panel.y, [point[1] for point in points], bottom, TOP)
    for at, text in y.shown():
        yield f'<path d="M{LEFT} {at:.1f}H{right}" stroke="#d8dee4"/>'
        yield f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(text)}</text>'
    for at, text in x.shown():
        yield f'<path d="M{at:.1f} {TOP}V{bottom}" stroke="#eaeef2"/>'
        yield f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{escape(text)}</text>'
    yield (
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
        f"{escape(panel.x.label)}</text>"
    )
    yield (
        f'<text transform="translate(14 {(TOP + bottom) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(panel.y.label)}</text>'
    )
    legend = right
    for line in reversed(lines):
        colour = COLOURS[line.colour % len(COLOURS)]
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        path = " ".join(f"{x.place(a):.1f},{y.place(b):.1f}" for a, b in line.points)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
        if not line.dashed and len(line.points) <= 40:
            for a, b in line.points:
                yield f'<circle cx="{x.place(a):.1f}" cy="{y.place(b):.1f}" r="3" fill="{colour}"/>'
        yield (
            f'<text x="{legend}" y="{TOP - 6}" fill="{colour}" text-anchor="end">'
            f"{escape(line.name)}</text>"
        )
        legend -= 16 + 7 * len(line.name)

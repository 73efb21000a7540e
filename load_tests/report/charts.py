"""Charts as SVG that stands inside a page and takes its colours from it. Pure.

A small writer and not a plotting library: what is drawn must follow the page into dark mode,
which needs the page's own variables in it, and the report must be made wherever Python is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, log10

WIDTH = 760
HEIGHT = 340
LEFT, RIGHT, TOP, BOTTOM = 74, 130, 16, 46
LINE = 15
"""Between two lines of text."""

ROW = 30
NAMES = 130
"""Width of the names beside bars."""

LOGARITHMIC_FROM = 20.0
"""Times that the largest bar is longer than the smallest: beyond it they are dots on a
logarithmic axis, where none is too short to be seen."""

DECADES = 4
"""Of such an axis at the most; what is less is at its beginning."""


@dataclass(frozen=True)
class Point:
    """A value, with the range of the runs that it is the middle of."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points that are joined. colour: a name that the page has a colour for."""

    name: str
    colour: str
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """What is along one side. Ticks are made where none are given."""

    label: str
    logarithmic: bool = False
    ticks: Mapping[float, str] = field(default_factory=dict)
    from_zero: bool = True


@dataclass(frozen=True)
class Bar:
    """One value with its name and its range."""

    name: str
    colour: str
    value: float
    low: float
    high: float


class Scale:
    """From values to places."""

    def __init__(self, axis: Axis, values: Sequence[float], begin: float, end: float) -> None:
        """values: all that must have a place; above 0 if the axis is logarithmic."""
        low, high = min(values, default=0.0), max(values, default=1.0)
        self._logarithmic = axis.logarithmic
        if self._logarithmic:
            low, high = log10(low), log10(high)
            pad = max(0.03 * (high - low), 0.02)
            low, high = low - pad, high + pad
            ticks = {
                each * 10.0**power: number(each * 10.0**power)
                for power in range(floor(low), ceil(high) + 1)
                for each in ((1,) if high - low > 2.2 else (1, 2, 5))
            }
        else:
            low = min(0.0, low) if axis.from_zero else low
            high = high if high > low else low + 1
            step = round_step((high - low) / 5)
            low, high = floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step
            count = round((high - low) / step)
            ticks = {low + each * step: number(low + each * step) for each in range(count + 1)}
        self._low, self._high, self._begin, self._end = low, high, begin, end
        self._ticks = axis.ticks or ticks

    def place(self, value: float) -> float:
        """Where it is. What a logarithmic axis has no place for is at its beginning."""
        if self._logarithmic:
            value = log10(value) if value > 0 else self._low
        share = (value - self._low) / ((self._high - self._low) or 1)
        return self._begin + min(1.0, max(0.0, share)) * (self._end - self._begin)

    def shown(self) -> Iterator[tuple[float, str]]:
        """Places and texts of the ticks."""
        for value, text in self._ticks.items():
            at = log10(value) if self._logarithmic and value > 0 else value
            if self._low - 1e-9 <= at <= self._high + 1e-9:
                yield self.place(value), text


def round_step(step: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not below it."""
    power = 10.0 ** floor(log10(step))
    return next(each * power for each in (1, 2, 5, 10) if each * power >= step * (1 - 1e-9))


def number(value: float) -> str:
    """As people write it."""
    if value == 0 or abs(value) >= 10 or abs(value - round(value)) < 1e-9:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def lines(series: Sequence[Series], x: Axis, y: Axis, title: str) -> str:
    """A chart of lines, each with its name at its end. title: for who cannot see it."""
    drawn = [kept for each in series if (kept := _drawable(each, x, y)).points]
    if not drawn:
        return ""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    points = [point for each in drawn for point in each.points]
    xs = Scale(x, [point.x for point in points], LEFT, right)
    ys = Scale(y, [value for point in points for value in _extent(point, y)], bottom, TOP)
    parts = [_begin(WIDTH, HEIGHT, title)]
    for at, text in ys.shown():
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" class="end">{escape(text)}</text>')
    for at, text in xs.shown():
        parts.append(f'<path class="grid" d="M{at:.1f} {bottom}v5"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 19}" class="middle">{escape(text)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 8}" class="middle">'
        f"{escape(x.label)}</text>"
    )
    parts.append(
        f'<text transform="translate(15 {middle:.0f}) rotate(-90)" class="middle">'
        f"{escape(y.label)}</text>"
    )
    for each in drawn:
        parts += _line(each, xs, ys)
    ends = [ys.place(each.points[-1].y) for each in drawn]
    for each, at in zip(drawn, apart(ends, LINE), strict=True):
        parts.append(
            f'<text x="{right + 10}" y="{at + 4:.1f}" class="{each.colour} name">'
            f"{escape(each.name)}</text>"
        )
    return "".join([*parts, "</svg>"])


def _line(each: Series, xs: Scale, ys: Scale) -> Iterator[str]:
    joined = " ".join(f"{xs.place(p.x):.1f},{ys.place(p.y):.1f}" for p in each.points)
    dashes = " dashed" if each.dashed else ""
    yield f'<polyline class="{each.colour} line{dashes}" points="{joined}"/>'
    if each.dashed or len(each.points) > 60:
        return
    for point in each.points:
        at = xs.place(point.x)
        if point.low is not None and point.high is not None:
            low, high = ys.place(point.low), ys.place(point.high)
            yield f'<path class="{each.colour} range" d="M{at:.1f} {low:.1f}V{high:.1f}"/>'
        yield (
            f'<circle class="{each.colour} dot" cx="{at:.1f}" cy="{ys.place(point.y):.1f}" r="3.5">'
            f"<title>{escape(each.name)}: {number(point.y)} at {number(point.x)}</title></circle>"
        )


def bars(rows: Sequence[Bar], label: str, text: str, title: str) -> str:
    """A chart of bars from 0, or of dots where they differ by far. text: how a value is written."""
    if not rows:
        return ""
    values = [row.value for row in rows if row.value > 0]
    logarithmic = bool(values) and max(values) / min(values) > LOGARITHMIC_FROM
    height = TOP + ROW * len(rows) + BOTTOM
    bottom, right = height - BOTTOM, WIDTH - RIGHT
    edge = [value for row in rows for value in (row.value, row.low, row.high)]
    if logarithmic:
        edge = [value for value in edge if value > max(edge) / 10**DECADES]
    xs = Scale(Axis(label, logarithmic), edge, NAMES, right)
    parts = [_begin(WIDTH, height, title)]
    for at, mark in xs.shown():
        parts.append(f'<path class="grid" d="M{at:.1f} {TOP}V{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 18}" class="middle">{escape(mark)}</text>')
    parts.append(
        f'<text x="{(NAMES + right) / 2:.0f}" y="{height - 8}" class="middle">'
        f"{escape(label)}</text>"
    )
    for place, row in enumerate(rows):
        middle = TOP + ROW * (place + 0.5)
        end, low, high = (xs.place(value) for value in (row.value, row.low, row.high))
        parts.append(
            f'<text x="{NAMES - 10}" y="{middle + 4:.1f}" class="end">{escape(row.name)}</text>'
        )
        if logarithmic:
            parts.append(
                f'<circle class="{row.colour} dot" cx="{end:.1f}" cy="{middle:.1f}" r="6"/>'
            )
        else:
            parts.append(
                f'<rect class="{row.colour} bar" x="{NAMES}" y="{middle - 9:.1f}" '
                f'width="{max(1.0, end - NAMES):.1f}" height="18" rx="2"/>'
            )
        parts.append(f'<path class="whisker" d="M{low:.1f} {middle:.1f}H{high:.1f}"/>')
        parts.append(
            f'<text x="{max(end, high) + 10:.1f}" y="{middle + 4:.1f}">'
            f"{escape(text.format(row.value))}</text>"
        )
    return "".join([*parts, "</svg>"])


def apart(places: Sequence[float], least: float) -> list[float]:
    """The same places, moved as little as keeps them in order and `least` from each other."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    # Groups of neighbours that touch: each is as long as it must be, and about its own middle.
    groups: list[tuple[float, list[int]]] = []
    for index in order:
        groups.append((places[index], [index]))
        while len(groups) > 1:
            (before, first), (after, second) = groups[-2], groups[-1]
            if after - before >= least * (len(first) + len(second)) / 2:
                break
            both = len(first) + len(second)
            groups[-2:] = [((before * len(first) + after * len(second)) / both, first + second)]
    moved = list(places)
    for middle, members in groups:
        for rank, index in enumerate(members):
            moved[index] = middle + (rank - (len(members) - 1) / 2) * least
    return moved


def _drawable(each: Series, x: Axis, y: Axis) -> Series:
    """Without the points that a logarithmic axis has no place for."""
    points = [
        point
        for point in each.points
        if (point.x > 0 or not x.logarithmic) and (point.y > 0 or not y.logarithmic)
    ]
    return Series(each.name, each.colour, points, each.dashed)


def _extent(point: Point, axis: Axis) -> list[float]:
    values = [value for value in (point.y, point.low, point.high) if value is not None]
    return [value for value in values if value > 0 or not axis.logarithmic]


def _begin(width: int, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>"
    )

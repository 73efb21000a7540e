"""Sections of what a server costs by being there: idling, starting, memory, disk. Pure."""

from collections.abc import Callable

from report import figures
from report.figures import Spread, Values
from report.tables import one_each


def single(name: str, label: str, text: str, scale: float = 1.0) -> Callable[[Values], str]:
    """A section of one figure a server, out of `starts`."""

    def draw(record: Values) -> str:
        found = []
        for way in figures.ways(record):
            each = figures.start(record, way, name)
            if each:
                each = Spread(each.middle * scale, each.low * scale, each.high * scale)
            found.append((way, each))
        return one_each(record, found, label, text)

    return draw


def resident(record: Values) -> str:
    found = [(way, figures.resident_mb(record, way)) for way in figures.ways(record)]
    return one_each(record, found, "MB resident", "{:,.0f}")


def installed(record: Values) -> str:
    sizes = record["installed_mb"]
    found = [(way, figures.spread([sizes.get(way)])) for way in figures.ways(record)]
    return one_each(record, found, "MB installed", "{:,.0f}")

"""How figures are written and put into tables, the same in all sections. Pure."""

from collections.abc import Iterable, Sequence
from html import escape

from report import figures
from report.charts import Bar, Point, bars
from report.figures import Spread, Values

Rows = Iterable[Sequence[str]]


def table(head: Sequence[str], rows: Rows) -> str:
    """HTML. The first column is a name, the others are numbers."""
    body = [
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
        if any(row[1:])
    ]
    if not body:
        return ""
    cells = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def said(found: Spread | None, form: str = "{:,.0f}") -> str:
    """A median with its range."""
    if found is None:
        return ""
    text = form.format(found.middle)
    low, high = form.format(found.low), form.format(found.high)
    return text if low == high else f"{text} ({low} to {high})"


def point(x: float, found: Spread) -> Point:
    return Point(x, found.middle, found.low, found.high)


def callers_of(n: int) -> str:
    """So many, in words."""
    return f"{n:,} caller{'s' * (n > 1)}"


def bars_of(
    record: Values, found: Sequence[tuple[str, Spread | None]], label: str, text: str
) -> str:
    """A chart of one figure a server."""
    rows = [
        Bar(figures.label(record, way), way, each.middle, each.low, each.high)
        for way, each in found
        if each
    ]
    return bars(rows, label, text, label)


def one_each(
    record: Values, found: Sequence[tuple[str, Spread | None]], label: str, text: str
) -> str:
    """A chart and a table of one figure a server. text: how it is written."""
    rows = [(figures.label(record, way), said(each, text)) for way, each in found]
    return bars_of(record, found, label, text) + table(["", label], rows)

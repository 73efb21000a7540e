"""Sections of callers who wait for their answer: throughput, CPU time, a lone request. Pure."""

from report import figures
from report.charts import Axis, Point, Series, lines
from report.figures import Values
from report.tables import bars_of, callers_of, point, said, table


def throughput(record: Values) -> str:
    parts = []
    for form, name in (("json", "JSON"), ("binary", "binary tensors")):
        counts = figures.callers(record, form)
        if not counts:
            continue
        series, rows = [], []
        for way in figures.ways(record):
            found = {n: figures.closed(record, way, form, n, "a_second") for n in counts}
            points = [point(n, each) for n, each in found.items() if each]
            series.append(Series(figures.label(record, way), way, points))
            rows.append((figures.label(record, way), *(said(each) for each in found.values())))
        alone = figures.alone_rows(record)
        if alone:
            rule = [Point(n, alone.middle) for n in (counts[0], counts[-1])]
            series.append(Series("no server", "alone", rule, dashed=True))
        x = Axis("callers", logarithmic=True, ticks={n: f"{n:,}" for n in counts})
        parts.append(f"<h3>{name.capitalize() if form == 'binary' else name}</h3>")
        parts.append(lines(series, x, Axis("requests a second"), f"Throughput, {name}"))
        parts.append(table(["", *map(callers_of, counts)], rows))
    return "".join(parts)


def cpu(record: Values) -> str:
    asked = [(form, n) for form in ("json", "binary") for n in figures.callers(record, form)]
    busy = [(form, n) for form, n in asked if n > 1]
    if not busy:
        return ""
    names = figures.ways(record)
    found = [(way, figures.over_model_us(record, way, *busy[0])) for way in names]
    rows = [
        (figures.label(record, way), *(_cpu(record, way, *each) for each in busy)) for way in names
    ]
    label = f"µs a request over the model's, {callers_of(busy[0][1])}, {_form(busy[0][0])}"
    head = ["µs, of all", *(f"{_form(form)}, {callers_of(n)}" for form, n in busy)]
    return bars_of(record, found, label, "{:,.0f} µs") + table(head, rows)


def _cpu(record: Values, way: str, form: str, callers: int) -> str:
    over = figures.over_model_us(record, way, form, callers)
    whole = figures.closed(record, way, form, callers, "cpu_us")
    return f"{over.middle:,.0f} of {whole.middle:,.0f}" if over and whole else ""


def _form(form: str) -> str:
    return "JSON" if form == "json" else form


def lone(record: Values) -> str:
    found = [(way, figures.lone_added_ms(record, way)) for way in figures.ways(record)]
    rows = [
        (
            figures.label(record, way),
            said(figures.closed(record, way, "json", 1, "p50_ms"), "{:.2f}"),
            said(added, "{:.2f}"),
            said(figures.lone_added_ms(record, way, "binary"), "{:.2f}"),
        )
        for way, added in found
    ]
    head = ["ms", "p50, JSON", "over one row's run", "the same, binary"]
    chart = bars_of(record, found, "ms added to the model's run, JSON", "{:.2f} ms")
    return chart + table(head, rows)

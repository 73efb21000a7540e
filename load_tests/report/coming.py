"""Sections of callers who come when they like: latency and goodput by what is offered. Pure."""

from report import figures
from report.charts import Axis, Point, Series, lines
from report.figures import Values
from report.tables import point, said, table


def latency(record: Values) -> str:
    names = figures.opened(record)
    if not names:
        return ""
    slo_ms = record["open"][0]["slo_ms"]
    series, rates = [], []
    for way in names:
        points = [Point(x, y) for x, y in figures.latencies(record, way, "p99")]
        rates += [each.x for each in points]
        series.append(Series(figures.label(record, way), way, points))
    if rates:
        rule = [Point(min(rates), slo_ms), Point(max(rates), slo_ms)]
        series.append(Series(f"{slo_ms:g} ms", "alone", rule, dashed=True))
    rows = [
        (figures.label(record, way), said(figures.highest(record, way)), _of_alone(record, way))
        for way in names
    ]
    y = Axis("p99 of the answers, ms", logarithmic=True)
    head = ["", f"highest rate with 99% within {slo_ms:g} ms", "of onnxruntime with no server"]
    return lines(series, Axis("requests offered a second"), y, "Latency") + table(head, rows)


def _of_alone(record: Values, way: str) -> str:
    found, alone = figures.highest(record, way), figures.alone_rows(record)
    return f"{found.middle / alone.middle:.2f}" if found and alone else ""


def goodput(record: Values) -> str:
    names, times = figures.opened(record), figures.multiples(record)
    if not names:
        return ""
    series, rows = [], []
    for way in names:
        found = {each: figures.goodput_share(record, way, each) for each in times}
        points = [point(each, share) for each, share in found.items() if share]
        series.append(Series(figures.label(record, way), way, points))
        rows.append(
            (
                figures.label(record, way),
                *(said(share, "{:.2f}") for each, share in found.items() if each > 1),
            )
        )
    rule = [Point(each, min(1.0, each)) for each in sorted({*times, 1.0})]
    series.append(Series("all that can be", "alone", rule, dashed=True))
    x = Axis("offered, in multiples of its own highest rate", ticks={n: f"{n:g}" for n in times})
    y = Axis("in time, of its highest rate")
    head = ["in time at", *(f"{each:g}x" for each in times if each > 1)]
    return lines(series, x, y, "Goodput") + table(head, rows)

"""Sections of the other measurements: text, and ten minutes of everything. Pure."""

from html import escape

from report import figures
from report.charts import Axis, Point, Series, lines
from report.figures import Values
from report.tables import callers_of, point, said, table


def text(record: Values) -> str:
    counts = figures.callers(record, "json")
    names = [way for way in figures.ways(record) if way != "alone"]
    alone = figures.closed(record, "alone", "json", 1, "a_second")
    series, rows = [], []
    for way in names:
        found = {n: figures.closed(record, way, "json", n, "a_second") for n in counts}
        points = [point(n, each) for n, each in found.items() if each]
        series.append(Series(figures.label(record, way), way.replace(" ", "-"), points))
        rows.append((figures.label(record, way), *(said(each) for each in found.values())))
    if alone:
        rule = [Point(n, alone.middle) for n in (counts[0], counts[-1])]
        series.append(Series("no server", "alone", rule, dashed=True))
        rows.append(("one by one, no server", said(alone)))
    x = Axis("callers", logarithmic=True, ticks={n: f"{n:,}" for n in counts})
    head = ["sentences a second", *map(callers_of, counts)]
    return lines(series, x, Axis("sentences a second"), "Text") + table(head, rows)


def soak(record: Values) -> str:
    samples, line = record["samples"], record["slope_mb_a_minute"]
    minutes = [at / 60 for at in samples["at_s"]]

    def drawn(names: dict[str, str], label: str) -> str:
        series = [
            Series(title, name, [Point(x, y) for x, y in zip(minutes, samples[name], strict=True)])
            for name, title in names.items()
        ]
        return lines(series, Axis("minutes"), Axis(label), f"{label} over time")

    asked = sum(entry["requests"] for entry in record["entries"])
    problems = record["problems"]
    verdict = "; ".join(problems) if problems else "no error, and nothing grew"
    rows = [
        (entry["name"], f"{entry['requests']:,}", f"{entry['failed']:,}")
        for entry in sorted(record["entries"], key=lambda entry: str(entry["name"]))
    ]
    return (
        f"<p><strong>{escape(verdict[:1].upper() + verdict[1:])}.</strong> {asked:,} requests of "
        f"{record['users']} users in {record['seconds']:,} s. From {record['judged_from_s']:.0f} s "
        f"on the memory's slope is {line['value']:+.3f} MB a minute, with 95% between "
        f"{line['low']:+.3f} and {line['high']:+.3f}.</p>"
        + drawn({"resident_mb": "resident", "anonymous_mb": "without files"}, "MB")
        + drawn({"threads": "threads", "descriptors": "files, sockets"}, "how many")
        + table(["requests of", "answered", "wrongly"], rows)
    )

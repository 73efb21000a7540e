"""The page around the sections: one file, which asks the network for nothing. Pure."""

from collections.abc import Mapping
from html import escape

from report.data import MADE_BY, Record
from report.sections import SECTIONS, Section, provenance

# A name for each line and bar, and its colour on light and on dark.
COLOURS = {
    "jitney": ("#0b5fd0", "#6ab0ff"),
    "mosec": ("#c2500f", "#ff9d5c"),
    "pytriton": ("#1c7c3c", "#5fd38a"),
    "litserve": ("#7a3fd0", "#c4a1ff"),
    "mlserver": ("#9a6b00", "#e8bd4f"),
    "bentoml": ("#b82d7f", "#ff8dcb"),
    "ray": ("#0e7f88", "#55d0da"),
    "one-by-one": ("#7a3fd0", "#c4a1ff"),
    "first-come": ("#c2500f", "#ff9d5c"),
    "infinity": ("#1c7c3c", "#5fd38a"),
    "resident_mb": ("#0b5fd0", "#6ab0ff"),
    "anonymous_mb": ("#0e7f88", "#55d0da"),
    "threads": ("#0b5fd0", "#6ab0ff"),
    "descriptors": ("#c2500f", "#ff9d5c"),
    "alone": ("#5c6570", "#9aa4b0"),
}

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2128; --soft: #57606a; --rule: #d5dbe1;
  --box: #f5f7f9; LIGHT }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6eaee; --soft: #a2acb6;
  --rule: #353c44; --box: #1d232a; DARK } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 860px; padding: 24px 20px 80px; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.7rem; margin: 0 0 .3em } h2 { font-size: 1.25rem; margin: 2.6em 0 .3em }
h3 { font-size: 1rem; margin: 1.2em 0 0 }
p { margin: .4em 0; max-width: 46em } a { color: var(--jitney) }
nav ul { columns: 2; padding-left: 1.2em; margin: .6em 0 }
svg { display: block; width: 100%; height: auto; margin: 10px 0;
  font: 13px system-ui, sans-serif } svg text { fill: var(--ink) }
.end { text-anchor: end } .middle { text-anchor: middle }
.grid { stroke: var(--rule); fill: none }
.line { fill: none; stroke: currentColor; stroke-width: 2 } .dashed { stroke-dasharray: 5 4 }
.dot, .bar { fill: currentColor } .range { stroke: currentColor; opacity: .55 }
.whisker { stroke: var(--ink); stroke-width: 1.5 } svg text.name { fill: currentColor }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .88rem; width: 100% }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid var(--rule);
  font-variant-numeric: tabular-nums } th { font-weight: 600; color: var(--soft) }
th:first-child, td:first-child { text-align: left }
details { font-size: .85rem; color: var(--soft); margin: .5em 0 }
code { background: var(--box); padding: .1em .3em; border-radius: 3px; overflow-wrap: anywhere }
.missing { color: var(--soft) } @media (max-width: 560px) { nav ul { columns: 1 } }
"""


def page(records: Mapping[str, Record | None]) -> str:
    """The whole of it. records: by kind; None where there is none."""
    contents = "".join(
        f'<li><a href="#s{n}">{escape(section.title)}</a></li>'
        for n, section in enumerate(SECTIONS)
    )
    body = "".join(
        _section(n, section, records.get(section.kind)) for n, section in enumerate(SECTIONS)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Jitney: how fast</title><style>{_style()}</style></head><body>"
        "<h1>Jitney: how fast</h1>"
        "<p>One core for the server, another for the load; each server alone, started anew in "
        "each round, in turn. Figures are medians; lines across points and bars, and numbers in "
        "brackets, are the range of the rounds. Absolute figures move with the machine; what "
        "counts is how they compare.</p>"
        f"<nav><ul>{contents}</ul></nav>{body}</body></html>\n"
    )


def _style() -> str:
    light = " ".join(f"--{name}: {colour};" for name, (colour, _) in COLOURS.items())
    dark = " ".join(f"--{name}: {colour};" for name, (_, colour) in COLOURS.items())
    classes = "".join(f".{name} {{ color: var(--{name}) }}\n" for name in COLOURS)
    return STYLE.replace("LIGHT", light).replace("DARK", dark) + classes


def _section(n: int, section: Section, record: Record | None) -> str:
    drawn = section.draw(record.values) if record else ""
    head = f'<section id="s{n}"><h2>{escape(section.title)}</h2>'
    if not record or not drawn:
        return (
            f'{head}<p class="missing">Nothing is recorded for this. '
            f"<code>{escape(MADE_BY[section.kind])}</code> makes it.</p></section>"
        )
    return f"{head}<p>{escape(section.says)}</p>{drawn}{_origin(record)}</section>"


def _origin(record: Record) -> str:
    where = provenance(record.values)
    left_out = "".join(
        f"<p>Left out: {escape(name)}. {escape(why)}</p>" for name, why in where["left_out"].items()
    )
    return (
        f"{left_out}<details><summary>{escape(where['date'][:10])}, "
        f"<code>{escape(MADE_BY[record.kind])}</code></summary>"
        f"<p>Made by <code>{escape(where['command'])}</code> on {escape(where['machine'])}, "
        f"{escape(where['date'])}; read from {escape(record.path.name)} in "
        f"{escape(record.path.parent.name)}/.</p><p>{escape(where['versions'])}.</p></details>"
    )

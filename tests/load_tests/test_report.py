"""The page and the README's table say what the records say, and what is missing."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load_tests import records
from tests.load_tests.scripts import FOLDER, scripts

with scripts():
    from report import charts, data, figures, headline, page, sections

ROOT = FOLDER.parent
places = st.lists(st.floats(-1e4, 1e4, allow_nan=False), max_size=12)


def recorded(**values: dict[str, object]) -> dict[str, object]:
    """Records by kind, as `find` gives them."""
    return {
        kind: SimpleNamespace(kind=kind, path=Path(f"/x/data/{kind}.json"), values=value)
        for kind, value in values.items()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a README that has a place for the table, and nothing measured."""
    (tmp_path / "README.md").write_text(f"# A\n\n{headline.BEGIN}\nold\n{headline.END}\n\nB\n")
    return tmp_path


def make(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "report" / "make.py"), *options]
    command += ["--measured", str(folder / "out"), "--kept", str(folder / "data")]
    command += ["--out", str(folder / "report.html"), "--readme", str(folder / "README.md")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def write(folder: Path, values: dict[str, object]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{values['kind']}.json").write_text(json.dumps(values))


# --- the command


def test_nothing_measured_is_a_page_that_says_how_to_measure(folder: Path) -> None:
    done = make(folder)

    assert done.returncode == 0, done.stderr
    html = (folder / "report.html").read_text()
    for section in sections.SECTIONS:
        assert f"<h2>{section.title}</h2>" in html
    for command in data.MADE_BY.values():
        assert f"<code>{command}</code> makes it" in html
        assert command in done.stdout
    assert headline.NOTHING in (folder / "README.md").read_text()


def test_what_was_measured_is_kept_when_asked_for_and_only_then_in_the_readme(
    folder: Path,
) -> None:
    write(folder / "out", records.peers())

    assert make(folder).returncode == 0
    assert "<h3>JSON</h3>" in (folder / "report.html").read_text()
    assert headline.NOTHING in (folder / "README.md").read_text()

    done = make(folder, "--keep")
    assert "Kept: peers." in done.stdout
    readme = (folder / "README.md").read_text()
    assert "| requests a second, 64 callers, JSON | 5,455 | 4,545 (mosec) | 1.20x |" in readme
    assert readme.startswith("# A\n\n<!--")
    assert readme.endswith("-->\n\nB\n")

    for file in (folder / "out").iterdir():
        file.unlink()
    assert make(folder).returncode == 0
    assert (folder / "README.md").read_text() == readme
    assert "peers.json in data/" in (folder / "report.html").read_text()


def test_what_was_measured_here_is_shown_before_what_is_kept(folder: Path) -> None:
    write(folder / "data", records.text())
    write(folder / "out", records.text() | {"command": "python load_tests/text.py --runs 1"})

    make(folder)

    assert "load_tests/text.py --runs 1" in (folder / "report.html").read_text()


def test_the_readme_has_the_table_of_what_is_kept() -> None:
    kept = {kind: data.find(kind, [data.KEPT]) for kind in data.MADE_BY}
    readme = (ROOT / "README.md").read_text()

    assert headline.put(readme, headline.headline(kept)) == readme


# --- the page


@pytest.mark.parametrize("kind", ["peers", "text", "soak"])
def test_sections_without_a_record_are_left_out_and_the_others_are_there(kind: str) -> None:
    html = page.page(recorded(**{kind: getattr(records, kind)()}))

    for part in html.split("<section ")[1:]:
        title = re.search("<h2>(.*?)</h2>", part)
        section = next(each for each in sections.SECTIONS if title and each.title == title[1])
        assert ("<svg" in part) == (section.kind == kind), section.title
        assert ("Nothing is recorded" in part) == (section.kind != kind)


def test_the_page_stands_alone_and_is_well_formed() -> None:
    html = page.page(
        recorded(peers=records.peers(), text=records.text(), soak=records.soak(("it <grew>",)))
    )

    assert not re.findall(r'(?:src|href)="(?!#)', html)
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "prefers-color-scheme: dark" in html
    assert "It &lt;grew&gt;." in html
    assert "A &lt;fast&gt; processor" in html
    drawn = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    # Each section has one, throughput and memory over time have two.
    assert len(drawn) == len(sections.SECTIONS) + 2
    for svg in drawn:
        ET.fromstring(svg)


def test_every_section_says_who_was_left_out_and_how_it_was_made() -> None:
    html = page.page(recorded(peers=records.peers()))

    parts = [part for part in html.split("<section ") if "<svg" in part]
    for part in parts:
        assert "Left out: Ray Serve. not installed; run: make .venv-peers/ray" in part
        for said in ("python load_tests/peers/run.py", "2026-11-23", "jitney 0.1.0", "2 cores"):
            assert said in part


def test_every_line_and_bar_has_a_colour() -> None:
    html = page.page(recorded(peers=records.peers(), text=records.text(), soak=records.soak()))

    with scripts():
        from peers.servers import SERVERS

    classes = set(re.findall(r'class="([\w-]+) (?:line|bar|dot|name)', html))
    assert classes <= set(page.COLOURS)
    assert {server.name for server in SERVERS} <= set(page.COLOURS)


# --- figures


def test_ratios_and_differences_are_taken_within_a_round() -> None:
    record = records.peers()

    ratio = figures.times(record, "jitney", "mosec", "json", 64)
    assert (ratio.low, ratio.middle, ratio.high) == pytest.approx((1.2, 1.2, 1.2))
    added = figures.lone_added_ms(record, "jitney")
    assert added.low == pytest.approx(1e3 / 600 - 0.8)
    # 64 rows of the model take 6.4 ms: 100 µs of each request are its own.
    over = figures.over_model_us(record, "jitney", "json", 64)
    assert over.low == pytest.approx(1e6 / 6000 - 100)


def test_the_model_s_share_is_that_of_the_batches_that_ran() -> None:
    record = records.peers(rounds=1)
    for run in record["runs"]:
        if run["way"] == "jitney":
            run["riders"] = [["64", 30], ["96", 10]]

    found = figures.over_model_us(record, "jitney", "json", 256)

    # Between 64 and 128 rows: 9 ms for 96, of which each bears 93.75 µs.
    share = (30 * 100 + 10 * 93.75) / 40
    assert found.middle == pytest.approx(1e6 / 7200 - share)


def test_void_runs_do_not_count() -> None:
    record = records.peers()

    assert figures.goodput_share(record, "mosec", 2.0).middle == 0
    assert figures.goodput_share(record, "mosec", 3.0) is None
    assert figures.goodput_share(record, "jitney", 3.0).middle == pytest.approx(1)
    assert figures.multiples(record) == [0.5, 0.8, 1.5, 2.0, 3.0]
    # Where nothing was answered there is no latency.
    assert [rate for rate, _ in figures.latencies(record, "mosec", "p99")] == [2250, 3600, 4500]


def test_a_search_that_found_nothing_is_not_a_rate_of_zero() -> None:
    record = records.peers(rounds=1)
    record["open"][1]["highest_good"] = 0.0

    assert figures.highest(record, "mosec") is None
    assert figures.opened(record) == ["jitney"]
    assert "highest rate" not in headline.headline(recorded(peers=record))
    page.page(recorded(peers=record))


@pytest.mark.parametrize("missing", ["starts", "open", "runs"])
def test_a_record_of_a_run_that_was_cut_short_is_drawn_as_far_as_it_goes(missing: str) -> None:
    html = page.page(recorded(peers=records.peers() | {missing: []}))

    assert "Nothing is recorded for this" in html


# --- the table


def test_the_best_of_the_others_is_the_one_that_is_best_at_it() -> None:
    record = records.peers()
    for each in record["starts"]:
        each["started_s"] = {"jitney": 0.6, "mosec": 0.9, "litserve": 0.7}[each["way"]]

    table = headline.headline(recorded(peers=record, text=records.text()))

    assert "| start to first answer, s | 0.60 | 0.70 (LitServe) |  |" in table
    assert "| in time at 2x that rate, of it | 1.00 | 0.00 (mosec) |  |" in table
    assert "| sentences a second, 64 callers | 200 | 150 (infinity) | 1.33x |" in table
    # Nobody else takes binary tensors here.
    assert "binary" not in table
    assert "medians of 3 rounds" in table


def test_a_readme_without_a_place_for_the_table_is_a_sentence(folder: Path) -> None:
    (folder / "README.md").write_text("# A\n")

    done = make(folder)

    assert done.returncode == 1
    assert done.stderr.startswith("Failed: README.md has no lines <!-- headline")
    assert "Traceback" not in done.stderr


def test_a_broken_record_is_a_sentence_and_an_old_one_is_none(folder: Path) -> None:
    write(folder / "out", records.peers() | {"format": 1})
    assert make(folder).returncode == 0
    assert "Nothing is recorded" in (folder / "report.html").read_text()

    (folder / "out" / "peers.json").write_text("{")
    done = make(folder)
    assert done.returncode == 1
    assert "is not JSON" in done.stderr
    assert "make bench-peers" in done.stderr


# --- charts


@given(wanted=places)
def test_labels_are_moved_apart_and_keep_their_order(wanted: list[float]) -> None:
    moved = charts.apart(wanted, 15)

    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    assert all(moved[b] - moved[a] >= 15 - 1e-6 for a, b in pairwise(order))
    if all(abs(a - b) >= 15 for a, b in pairwise(sorted(wanted))):
        assert moved == pytest.approx(wanted)


@given(
    values=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=8),
    logarithmic=st.booleans(),
    from_zero=st.booleans(),
)
def test_every_value_has_a_place_and_a_larger_one_is_further(
    values: list[float], logarithmic: bool, from_zero: bool
) -> None:
    scale = charts.Scale(charts.Axis("", logarithmic, from_zero=from_zero), values, 0, 100)

    found = [scale.place(value) for value in sorted(values)]
    assert all(0 <= at <= 100 for at in found)
    assert found == sorted(found)
    assert all(-1e-6 <= at <= 100 + 1e-6 for at, _ in scale.shown())


@given(
    values=st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=7),
    logarithmic=st.booleans(),
)
def test_whatever_is_drawn_is_well_formed(values: list[float], logarithmic: bool) -> None:
    rows = [charts.Bar(f"<{n}>", "jitney", v, v / 2, v * 2) for n, v in enumerate(values)]
    points = [charts.Point(n + 1, v, v / 2, v * 2) for n, v in enumerate(values)]
    axis = charts.Axis("a & b", logarithmic)

    for svg in (
        charts.bars(rows, "a & b", "{:.2f} <", "title"),
        charts.lines([charts.Series("<x>", "jitney", points)], axis, axis, "title"),
    ):
        # With logarithmic axes, zeros alone leave nothing to draw.
        if svg:
            assert "nan" not in svg
            ET.fromstring(svg)
        else:
            assert logarithmic
            assert not any(values)

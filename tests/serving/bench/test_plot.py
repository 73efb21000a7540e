"""Pictures: well-formed, with what was measured in them."""

import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bench.plot import CannotPlot, check, panels, write
from serving.bench.svg import Axis, Line, Panel, svg

from .test_figures import figures

RUNS = [
    figures(*[(200, n / 1000) for n in range(1, 200)], rate=100),
    figures(*[(200, n / 500) for n in range(1, 300)], (429, 0.001), rate=150),
]
VOID = figures((200, 0.01), lateness_s=1)
SVG = "{http://www.w3.org/2000/svg}"


def texts(path: Path) -> list[str]:
    root = ElementTree.parse(path).getroot()
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_several_rates_are_a_curve(tmp_path: Path) -> None:
    write(tmp_path / "a.svg", [*RUNS, VOID], "http://here & <there>")

    said = texts(tmp_path / "a.svg")
    assert {"Latency of the answers", "Answered within 100 ms", "p99", "in time"} <= set(said)
    assert "http://here & <there>" in said


def test_one_rate_is_a_distribution() -> None:
    (panel,) = panels(RUNS[:1])

    assert "100 requests a second" in panel.title
    assert panel.lines[0].points[-1][1] <= 199


def test_runs_that_do_not_count_are_not_drawn(tmp_path: Path) -> None:
    write(tmp_path / "a.svg", [VOID], "")

    assert "Every run was void: the generator was behind." in texts(tmp_path / "a.svg")


def test_a_run_without_an_answer_can_be_drawn(tmp_path: Path) -> None:
    write(tmp_path / "a.svg", [figures((429, 0.1), rate=10)], "")
    write(tmp_path / "b.svg", [figures((429, 0.1), rate=10), figures((429, 0.1), rate=20)], "")

    assert texts(tmp_path / "a.svg")
    assert texts(tmp_path / "b.svg")


points = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), max_size=30)


@given(points, st.booleans(), st.booleans(), st.text(max_size=20))
def test_any_points_make_a_picture(
    found: list[tuple[float, float]], log_x: bool, log_y: bool, name: str
) -> None:
    name = "".join(char for char in name if char.isprintable())

    drawn = svg([Panel(name, Axis(name, log_x), Axis(name, log_y), [Line(name, found)])], name)

    root = ElementTree.fromstring(drawn.encode(errors="replace"))
    for line in root.iter(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert -1 <= x <= 721
            assert -1 <= y <= 321


def test_other_files_are_refused_before_anything_is_measured() -> None:
    with pytest.raises(CannotPlot, match=r"\.svg or a \.png"):
        check(Path("a.pdf"))


@pytest.mark.skipif(find_spec("matplotlib") is not None, reason="matplotlib is installed")
def test_a_png_needs_matplotlib() -> None:
    with pytest.raises(CannotPlot, match="matplotlib"):
        check(Path("a.png"))


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_a_png_is_one(tmp_path: Path) -> None:
    write(tmp_path / "a.png", RUNS, "")

    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")

"""The calls that the page offers to be copied: each one is run as it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.looks import SEVEN, answer, ask, card, draw, png, snippets

PLACE = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def ran(kind: str, text: str, folder: Path) -> str:
    """What a call prints, run in a folder as a person would."""
    command = [sys.executable, "-c", text] if kind == "Python" else ["bash", "-c", text]
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": PLACE},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, f"{text}\n{ended.stderr.decode()}"
    return ended.stdout.decode(errors="replace")


def outputs(printed: str) -> dict[str, list[object]]:
    return {output["name"]: output["data"] for output in json.loads(printed)["outputs"]}


def first_of(printed: str) -> float:
    """The first number of the first tensor that was printed."""
    found = re.search(r"\[\[ *([-+.\de]+)", printed)
    assert found, printed
    return float(found[1])


def test_a_drawing(open_page, tmp_path):
    digits = card(open_page().page, "digits")
    digits.get_by_role("button", name="Clear").click()
    draw(digits, SEVEN)
    expect(answer(digits)).to_contain_text("digit: 7")

    calls = snippets(digits)

    assert outputs(ran("curl", calls["curl"], tmp_path))["digit"] == [7]
    assert ran("Python", calls["Python"], tmp_path).rstrip().endswith("[7]")
    assert "digit  INT64 [1]\n  [7]" in ran("jitney call", calls["jitney call"], tmp_path)


def test_a_file(open_page, tmp_path):
    magika = card(open_page().page, "magika")
    magika.locator("input[type=file]").set_input_files(png(tmp_path / "it's a picture.png"))
    expect(answer(magika)).to_contain_text("label: png")

    calls = snippets(magika)

    assert outputs(ran("curl", calls["curl"], tmp_path))["label"] == ["png"]
    assert "png" in ran("Python", calls["Python"], tmp_path)
    assert "png" in ran("jitney call", calls["jitney call"], tmp_path)


@pytest.mark.parametrize(
    "text", ['It\'s a "bus" and $HOME `ls` \\n', "@bus", "--help", "two\nlines", "- "]
)
def test_a_text_whatever_it_is(open_page, tmp_path, text):
    minilm = card(open_page().page, "minilm")
    minilm.get_by_label("Text for text").fill(text)
    ask(minilm)

    calls = snippets(minilm)

    vector = outputs(ran("curl", calls["curl"], tmp_path))["embedding"]
    assert len(vector) == 384
    for kind in ("Python", "jitney call"):
        assert first_of(ran(kind, calls[kind], tmp_path)) == pytest.approx(vector[0], abs=1e-4)


@pytest.mark.parametrize("name", ["iris", "flags", "halves", "brains", "unfit"])
def test_an_example_as_json(open_page, tmp_path, name):
    model = card(open_page().page, name)
    ask(model)

    calls = snippets(model)

    if name in ("halves", "brains"):
        # Its answer is bytes too, after the JSON.
        assert ran("curl", calls["curl"], tmp_path).startswith(f'{{"model_name":"{name}"')
    else:
        assert outputs(ran("curl", calls["curl"], tmp_path))
    expected = {"iris": "versicolor", "flags": "", "halves": "1", "brains": "1", "unfit": "2"}[name]
    assert expected in ran("Python", calls["Python"], tmp_path)
    assert expected in ran("jitney call", calls["jitney call"], tmp_path)


def test_several_rows(open_page, tmp_path):
    iris = card(open_page().page, "iris")
    request = {
        "inputs": [
            {"name": "sepal_cm", "shape": [2, 2], "datatype": "FP32", "data": [5.1, 3.5, 5.5, 2.4]},
            {"name": "petal_cm", "shape": [2, 2], "datatype": "FP32", "data": [1.4, 0.2, 3.7, 1]},
        ]
    }
    iris.get_by_label("The request").fill(json.dumps(request))
    ask(iris)
    expect(iris.locator(".single")).to_have_text(["setosa", "versicolor"])

    calls = snippets(iris)

    assert outputs(ran("curl", calls["curl"], tmp_path))["species"] == ["setosa", "versicolor"]
    for kind in ("Python", "jitney call"):
        printed = ran(kind, calls[kind], tmp_path)
        assert "setosa" in printed
        assert "versicolor" in printed


def test_an_older_version(open_page, tmp_path):
    old = card(open_page().page, "versions", "1")
    ask(old)

    calls = snippets(old)

    assert json.loads(ran("curl", calls["curl"], tmp_path))["model_version"] == "1"
    assert "2." in ran("Python", calls["Python"], tmp_path)
    assert "(version 1)" in ran("jitney call", calls["jitney call"], tmp_path)


def test_what_is_too_long_to_paste_is_saved_first(open_page, tmp_path):
    page = open_page().page
    hostile = card(page, "hostile")
    hostile.get_by_role("tab", name="JSON").click()
    data = [n + 0.123456 for n in range(400)]
    request = {"inputs": [{"name": "x", "shape": [1, 400], "datatype": "FP32", "data": data}]}
    hostile.get_by_label("The request").fill(json.dumps(request))
    ask(hostile)
    with page.expect_download() as download:
        hostile.get_by_text("Save request.json first").click()
    download.value.save_as(tmp_path / "request.json")

    calls = snippets(hostile)

    twice = pytest.approx([2 * n for n in data], rel=1e-6)
    assert outputs(ran("curl", calls["curl"], tmp_path))["y"] == twice
    for kind in ("Python", "jitney call"):
        assert first_of(ran(kind, calls[kind], tmp_path)) == pytest.approx(0.2469, abs=1e-4)


def test_it_is_copied(open_page):
    page = open_page(permissions=["clipboard-read", "clipboard-write"]).page
    iris = card(page, "iris")

    iris.get_by_role("button", name="Copy the call with curl").click()

    expect(iris.locator(".told").first).to_have_text("Copied")
    shown = iris.get_by_role("group", name="The call with curl").inner_text()
    assert page.evaluate("navigator.clipboard.readText()") == shown

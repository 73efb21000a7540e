"""`jitney call` as a person meets it: a real process against a real server."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from PIL import Image, ImageDraw

from tests.support import onnx_models, text_models
from tests.support.server import Server, free_port, serving

README = Path(__file__).parents[3] / "README.md"
ZOO = Path(__file__).parents[3] / "models" / "zoo"

TEXT = "[text]\npooling = 'none'\nnormalize = false\noutput = 'first'\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shipped models, and some small ones."""
    root = tmp_path_factory.mktemp("models")
    for name in ("digits", "iris"):
        shutil.copytree(ZOO / name, root / name)
    onnx_models.doubler(root / "twice" / "1" / "model.onnx")
    onnx_models.doubler(root / "wide" / "1" / "model.onnx", width=50_000)
    onnx_models.doubler(root / "halves" / "1" / "model.onnx", 2, TensorProto.FLOAT16)
    onnx_models.identity(root / "same" / "1" / "model.onnx", TensorProto.STRING, ["n"])
    onnx_models.heavy(root / "heavy" / "1" / "model.onnx")
    onnx_models.gatherer(root / "pick" / "1" / "model.onnx")
    text_models.encoder(root / "sentences" / "1" / "model.onnx")
    text_models.tokenizer(root / "sentences" / "tokenizer.json")
    (root / "sentences" / "model.toml").write_text(TEXT)
    with serving(root, "--profile-budget=0.2", "--max-body-mib=1") as started:
        yield started


def run(
    server: Server | None, *arguments: str | Path, stdin: bytes = b"", code: str = ""
) -> "subprocess.CompletedProcess[str]":
    command = ["-c", code] if code else ["-m", "serving.cli"]
    ended = subprocess.run(
        [sys.executable, *command, "call", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=60,
        env={**os.environ, **({"JITNEY_URL": server.url} if server else {})},
    )
    out, err = ended.stdout.decode(), ended.stderr.decode()
    assert "Traceback" not in err
    return subprocess.CompletedProcess(ended.args, ended.returncode, out, err)


def called(server: Server, *arguments: str | Path, stdin: bytes = b"") -> str:
    ended = run(server, *arguments, stdin=stdin)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def values(server: Server, *arguments: str | Path, stdin: bytes = b"") -> dict[str, object]:
    """What each output's data are."""
    reply = json.loads(called(server, *arguments, "--json", stdin=stdin))
    return {output["name"]: output["data"] for output in reply["outputs"]}


def mistake(server: Server | None, *arguments: str | Path, code: int = 2) -> str:
    """What is told, in one line."""
    ended = run(server, *arguments)
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    (told,) = [line for line in ended.stderr.splitlines() if not line.startswith("No values")]
    assert told.startswith("jitney: ")
    return told


def test_numbers_in_an_answer_out_and_how_long_it_took(server: Server) -> None:
    text = called(server, "iris", "5.1", "3.5", "1.4", "0.2")

    assert text.startswith("iris (version 1)\nprobabilities  FP32 [1, 3]\n  [[0.98")
    assert "\nspecies  BYTES [1]\n  setosa\n" in text
    assert re.search(
        r"^[\d.]+ ms: waited [\d.]+ ms, batch of 1 row ran [\d.]+ ms, encoded [\d.]+ ms$",
        text,
        re.MULTILINE,
    )


def test_its_example_in_the_readme_works(server: Server) -> None:
    block, shown = re.findall(
        r"```sh\n\S*(jitney call .*?)```.*?```\n(.*?)```", README.read_text(), re.DOTALL
    )[0]
    for line in block.splitlines():
        called(server, *shlex.split(line.split("#")[0])[2:])
    first = shlex.split(block.splitlines()[0].split("#")[0])

    # All but how long it took.
    assert called(server, *first[2:]).splitlines()[:-1] == shown.splitlines()[:-1]


def test_negative_numbers_are_no_options(server: Server) -> None:
    assert values(server, "twice", "-1", "-.5", "-1e3", "2") == {"y": [-2, -1, -2000, 4]}
    assert values(server, "twice", "-1,2,-3,4") == {"y": [-2, 4, -6, 8]}
    assert values(server, "twice", "--input", "x=-1 2 3 4") == {"y": [-2, 4, 6, 8]}
    assert values(server, "same", "-1 degree") == {"y": ["-1 degree"]}
    assert "\n  -1\n  --json\n" in called(server, "same", "-1", "--", "--json")


def test_a_misspelt_option_is_one(server: Server) -> None:
    ended = run(server, "twice", "1", "--tmeout", "3")

    assert ended.returncode == 2
    assert "No such option" in ended.stderr


def test_inputs_by_name(server: Server) -> None:
    reply = values(server, "iris", "--input", "petal_cm=1.4 0.2", "--input", "sepal_cm=[[5, 3]]")

    assert reply["species"] == ["setosa"]


def test_files_and_stdin(server: Server, tmp_path: Path) -> None:
    rows = np.arange(8, dtype=np.float64).reshape(2, 4)
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "rows.json").write_text(json.dumps(rows.tolist()))
    expected = {"y": (2 * rows).ravel().tolist()}

    assert values(server, "twice", f"@{tmp_path / 'rows.npy'}") == expected
    assert values(server, "twice", f"@{tmp_path / 'rows.json'}") == expected
    assert values(server, "twice", "-", stdin=(tmp_path / "rows.npy").read_bytes()) == expected
    assert values(server, "twice", "-", stdin=b"0 1 2 3\n4 5 6 7\n") == expected


def test_sentences(server: Server) -> None:
    reply = values(server, "sentences", "the red bus", "late")

    assert reply["embedding"] == pytest.approx(np.tile(text_models.VECTORS[2], 2).tolist())
    assert "embedding  FP32 [1, 3]" in called(server, "sentences", "the red bus waits")


def test_a_file_as_it_is_for_bytes(server: Server, tmp_path: Path) -> None:
    (tmp_path / "any.gif").write_bytes(b"GIF89a, or [1, 2]")

    assert values(server, "same", f"@{tmp_path / 'any.gif'}") == {"y": ["GIF89a, or [1, 2]"]}


def test_a_drawing_is_read(server: Server, tmp_path: Path) -> None:
    image = Image.new("L", (280, 280), "white")
    ImageDraw.Draw(image).line([(60, 50), (210, 50), (110, 240)], fill="black", width=34)
    image.save(tmp_path / "seven.png")

    ended = run(server, "digits", f"@{tmp_path / 'seven.png'}", "--pixels", "16:0")

    assert "digit  INT64 [1]\n  [7]" in ended.stdout
    assert "an image of 280 x 280 pixels, sent as 8 x 8, grey, black 16 to white 0" in ended.stderr


def test_a_drawing_without_pillow(server: Server, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "it.png")
    code = (
        "import sys; sys.modules['PIL'] = None; from serving.cli import main; "
        "main(prog_name='jitney')"
    )
    ended = run(server, "digits", f"@{tmp_path / 'it.png'}", code=code)

    assert ended.returncode == 2
    assert "pip install 'jitney[image]'" in ended.stderr


@pytest.mark.parametrize("model", ["iris", "wide", "same", "sentences"])
def test_without_values_it_sends_some(server: Server, model: str) -> None:
    ended = run(server, model)

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("No values were given: ")
    assert f"{model} (version 1)\n" in ended.stdout


def test_a_large_output_is_cut(server: Server) -> None:
    text = called(server, "wide")

    assert "FP32 [1, 50000]\n  [[2. 2. 2. 2. … 2. 2. 2. 2.]]\n  mean 2, min 2, max 2\n" in text


def test_halves_which_json_has_not(server: Server) -> None:
    assert values(server, "halves", "1.5", "-2") == {"y": [3, -4]}
    assert "y  FP16 [1, 2]\n  [[ 3. -4.]]" in called(server, "halves", "1.5", "-2")


def test_the_largest_with_labels(server: Server, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("setosa\nversicolor\nvirginica\n")
    arguments = ("--top", "1", "--labels", tmp_path / "labels.txt")

    text = called(server, "iris", "5.1", "3.5", "1.4", "0.2", *arguments)

    assert re.search(r"FP32 \[1, 3\], the largest\n +0\.98\d* +0  setosa\nspecies", text)


def test_version_time_and_priority_are_sent(server: Server) -> None:
    arguments = ("--model-version", "1", "--timeout", "20", "--priority", "1")

    assert values(server, "twice", "1", "2", "3", "4", *arguments) == {"y": [2, 4, 6, 8]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["twise"], "there is no model 'twise'"),
        (["twise"], "did you mean 'twice'? It serves digits, halves, heavy, iris,"),
        (["twice", "1", "2", "3"], "'x' takes FP32 [?, 4]: 4 numbers a row; got 3"),
        (["twice", "1", "2", "3", "four"], "'four' is not a number"),
        (["twice", "@none.npy"], "none.npy cannot be read: No such file"),
        (["twice", "--model-version", "9"], "the server refused (404): "),
        (["twice", "--timeout", "0"], "--timeout must be above 0"),
        (["twice", "--timeout", "nan"], "--timeout must be above 0"),
        (["twice", "--top", "1", "--json"], "--top is for people"),
        (["twice", "--pixels", "1"], "--pixels takes BLACK:WHITE"),
        (["twice", "--labels", "none.txt"], "none.txt cannot be read"),
        (["twice", "--input", "y=1"], "the model has no input 'y'"),
        (["twice", "--url", "ftp://x"], "--url takes http://HOST:PORT"),
    ],
)
def test_a_mistake_is_told_in_one_line(server: Server, arguments: list[str], words: str) -> None:
    assert words in mistake(server, *arguments)


def test_a_body_that_is_too_large(server: Server, tmp_path: Path) -> None:
    """The server answers, and hangs up before all of it is sent."""
    np.save(tmp_path / "rows.npy", np.zeros((1_000_000, 4), np.float32))

    assert "--max-body-mib" in mistake(server, "twice", f"@{tmp_path / 'rows.npy'}")


def test_no_time(server: Server) -> None:
    told = mistake(server, "heavy", "--timeout", "0.001", code=1)

    assert re.search(r"the server refused \((429|504)\): ", told)


def test_a_model_that_fails(server: Server) -> None:
    assert "the server refused (500)" in mistake(server, "pick", "99", code=1)


def test_no_server() -> None:
    told = mistake(None, "digits", "--url", f"http://127.0.0.1:{free_port()}")

    assert "nothing listens there. Start one with `jitney serve`" in told


def test_only_who_calls_pays_for_it() -> None:
    """The other commands, and `--help`, start as fast as before."""
    code = (
        "import sys, serving.cli; "
        "print({'numpy', 'http.client', 'PIL', 'simdjson', 'orjson'} & set(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert ended.stdout == "set()\n"

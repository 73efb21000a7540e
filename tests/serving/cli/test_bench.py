"""`jitney bench` as a person meets it: a real process against a real server, or a scripted one."""

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx import TensorProto

from tests.support import onnx_models
from tests.support.scripted_server import Asked, reply, scripted
from tests.support.server import Server, free_port, serving

ZOO = Path(__file__).parents[3] / "models" / "zoo"

LENIENT = ("--max-lateness-ms", "60000")
"""For tests that are not about lateness: other programs run on the machine that tests us."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(ZOO / "digits", root / "digits")
    shutil.copytree(ZOO / "iris", root / "iris")
    onnx_models.identity(root / "same" / "1" / "model.onnx", TensorProto.STRING, ["n"])
    onnx_models.doubler(root / "halves" / "1" / "model.onnx", 2, TensorProto.FLOAT16)
    with serving(root, "--profile-budget=0.2") as started:
        yield started


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from serving.cli.bench import bench; bench()"]
    ended = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in ended.stderr
    return ended


def quick(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return run(*arguments, "--seconds", "0.5", "--warm-up", "0.1", *LENIENT)


@pytest.mark.parametrize("form", [(), ("--binary",), ("--rows", "3"), ("--binary", "--rows", "3")])
def test_a_curve_of_a_model(server: Server, tmp_path: Path, form: tuple[str, ...]) -> None:
    done = quick(
        *(server.url, "--model", "digits", "--rate", "100", "200,300", *form),
        *("--json", tmp_path / "a.json", "--plot", tmp_path / "a.svg"),
        *("--require", "lost<=0,failed<=0,good>=1%"),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0].split()[:2] == ["offered/s", "in"]
    assert done.stdout.count("generator: 99% sent within") == 3
    found = json.loads((tmp_path / "a.json").read_text())
    assert [run["rate"] for run in found["runs"]] == [100, 200, 300]
    assert all(run["statuses"].keys() == {"200"} for run in found["runs"])
    assert ElementTree.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(("model", "form"), [("iris", ()), ("same", ()), ("halves", ("--binary",))])
def test_any_model_by_its_own_url(server: Server, model: str, form: tuple[str, ...]) -> None:
    url = f"{server.url}/v2/models/{model}/infer"

    done = quick(url, "--rate", "50", "--json", "-", *form)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runs"][0]["statuses"].keys() == {"200"}


def test_a_body_of_ones_own(server: Server, tmp_path: Path) -> None:
    flower = {"name": "sepal_cm", "shape": [1, 2], "datatype": "FP32", "data": [5, 3]}
    lines = [json.dumps({"inputs": [flower, {**flower, "name": "petal_cm"}]})] * 3
    (tmp_path / "bodies.jsonl").write_text("\n".join(lines))

    done = quick(
        f"{server.url}/v2/models/iris/infer",
        *("--body", tmp_path / "bodies.jsonl", "--rate", "50", "--arrivals", "bursts"),
        *("--header", "X-Request-Timeout-Ms: 60000", "--burst", "3", "--processes", "2"),
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_search_and_what_is_beyond_it(tmp_path: Path) -> None:
    async def refuse_a_crowd(asked: Asked) -> None:
        asked.server.crowd = getattr(asked.server, "crowd", 0) + 1  # type: ignore[attr-defined]
        await asked.say(reply(200))

    with scripted(refuse_a_crowd) as server:
        body = tmp_path / "body"
        body.write_bytes(b"0")
        done = quick(
            *(f"http://127.0.0.1:{server.port}/infer", "--body", body, "--slo-ms", "5000"),
            *("--search", "--rate", "20", "--precision", "0.5", "--repeats", "1"),
            *("--max-seconds", "2", "--overload", "1.5", "2", "--json", tmp_path / "a.json"),
        )

    # Its limit was not reached in the time that it had: told, and not a success.
    assert done.returncode == 1
    assert "The search ended early: 2 s have passed." in done.stdout
    found = json.loads((tmp_path / "a.json").read_text())
    best = found["search"]["highest_good"]
    # Each between two at the rate itself.
    beyond = [best, 1.5 * best, best, 2 * best, best]
    assert [run["rate"] for run in found["runs"]][-5:] == beyond
    assert [one["times"] for one in found["search"]["overload"]] == [1.5, 2]
    assert "at 1.5x, " in done.stdout


def test_what_is_required_and_missed_is_exit_code_1(server: Server) -> None:
    done = quick(server.url, "--model", "iris", "--rate", "50", "--require", "p50<=0.000001")

    assert done.returncode == 1
    assert "p50<=0.000001 was asked for" in done.stderr


def test_a_run_that_lagged_is_void(server: Server) -> None:
    done = run(
        *(server.url, "--model", "iris", "--rate", "50"),
        *("--seconds", "0.5", "--max-lateness-ms", "0.000001"),
    )

    assert done.returncode == 1
    assert "VOID: the generator was behind" in done.stdout
    assert "void" in done.stderr


# --- abuse


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{url}", "--rate", "5"], "names no model: say --model NAME"),
        (["{url}", "--model", "digts", "--rate", "5"], "did you mean 'digits'?"),
        (["{url}", "--model", "iris"], "say --rate R, or --search"),
        (["{url}", "--model", "iris", "--rate", "0"], "a rate must be above 0"),
        (["{url}", "--model", "iris", "--rate", "9e6"], "more than 20,000,000 requests"),
        (["{url}", "--model", "iris", "--rate", "5", "--overload", "2"], "give both"),
        (["{url}", "--model", "iris", "--rate", "5", "9", "--search"], "begins at one --rate"),
        (["{url}", "--model", "iris", "--search", "--repeats", "2"], "an odd number"),
        (["{url}", "--model", "iris", "--rate", "5", "--require", "p9<1"], "'p9' is none of"),
        (["{url}", "--model", "iris", "--rate", "5", "--plot", "a.pdf"], "an .svg or a .png"),
        (["{url}", "--model", "iris", "--rate", "5", "--slo-ms", "0"], "--slo-ms must be above 0"),
        (["{url}", "--model", "halves", "--rate", "5"], "no JSON form: say --binary"),
        (["{url}/v2/models/iris/infer", "--model", "x", "--rate", "5"], "names a model already"),
        (["{url}", "--rate", "5", "--body", "nowhere.json"], "cannot be read"),
        (["{url}/v2/models/iris/infer", "--rate", "5", "--body", "{wrong}"], "refused (400)"),
        (["https://127.0.0.1", "--model", "iris", "--rate", "5"], "TLS is not spoken here"),
        (["http://127.0.0.1:{port}", "--model", "x", "--rate", "5"], "cannot reach a server"),
        (["127.0.0.1:{port}/x", "--body", "{wrong}", "--rate", "5"], "cannot connect"),
    ],
)
def test_a_mistake_is_a_sentence(
    server: Server, tmp_path: Path, arguments: list[str], says: str
) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"inputs": []}')
    given = {"url": server.url, "wrong": wrong, "port": free_port()}

    done = run(*(argument.format(**given) for argument in arguments))

    assert done.returncode == 2, done.stdout + done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_server_that_never_answers_is_no_mistake_of_ours(tmp_path: Path) -> None:
    async def never(asked: Asked) -> None:
        pass

    body = tmp_path / "body"
    body.write_bytes(b"0")
    with scripted(never) as server:
        url = f"http://127.0.0.1:{server.port}/infer"
        done = run(url, "--body", body, "--rate", "5", "--timeout", "0.2")

    assert done.returncode == 1
    assert "not answered within 0.2 s" in done.stderr


def test_nothing_heavy_is_imported_for_its_help() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from serving.cli.bench import bench; "
        "print(CliRunner().invoke(bench, ['--help']).output); "
        "sys.exit('numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}
    )

    assert done.returncode == 0
    assert "--overload" in done.stdout

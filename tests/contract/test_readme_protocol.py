"""The README's table of the protocol, each line of it run."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from models import ZOO
from tests.contract.triton import client_to
from tests.support.server import free_port, serving

README = (Path(__file__).parents[2] / "README.md").read_text()
(TABLE,) = re.findall(r"<!-- protocol.*?-->\n(.*?)<!-- /protocol -->", README, re.DOTALL)
LINES = re.findall(r"^\| [^|]+ \| `(curl [^`]+)` \| `([^`]+)` \|$", TABLE, re.MULTILINE)


@pytest.fixture(scope="module")
def served():
    with serving(ZOO, "--admin", "--grpc-port", free_port()) as server:
        yield server


def test_every_line_has_both_examples():
    assert len(LINES) == len(TABLE.splitlines()) - 2 == 8


@pytest.mark.parametrize(("curl", "python"), LINES)
def test_a_line_works(served, curl, python):
    command = shlex.split(curl.replace("http://", "").replace("localhost:8000", served.url))
    ended = subprocess.run(
        [*command, "--silent", "--show-error", "--fail"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for kind in ("http", "grpc", "http-aio", "grpc-aio"):
        with client_to(kind, served) as client:
            eval(python, {"client": client})

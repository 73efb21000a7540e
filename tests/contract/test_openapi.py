"""The documented surface, tried by schemathesis with all of its checks."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import ZOO
from tests.support.server import Server, serving

CONFIG = Path(__file__).with_name("schemathesis.toml")

# Names as they come, of which few are of models that are there; and one that is.
PINNED = """
[parameters]
"path.name" = "digits"
"path.version" = "1"

[[operations]]
include-path = "/v2/repository/models/{name}/unload"
parameters = { "path.name" = "iris" }
"""


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """One for itself: what is tried includes unloading."""
    with serving(ZOO, "--admin", "--profile-budget", "0.1") as server:
        yield server


@pytest.mark.parametrize("pinned", ["", PINNED], ids=["any-name", "a-name-that-is-there"])
def test_it_passes_every_check(own_server, tmp_path, pinned):
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.read_text() + pinned)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("--config-file", config, "run", own_server.url + "/openapi.json"),
            *("--checks", "all", "--max-examples", "20", "--continue-on-failure"),
            *("--warnings", "off"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=tmp_path,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = re.search(r"Operations: +(\d+) selected / (\d+) total", ended.stdout)
    assert found, ended.stdout
    assert int(found[1]) == int(found[2]) >= 19
    assert own_server.get("/v2/health/live").status_code == 200

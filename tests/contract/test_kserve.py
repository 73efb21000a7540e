"""KServe's own clients against a real server process, in an environment of their own."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("kserve_client.py")
PYTHON = ROOT / ".venv-kserve" / "bin" / "python"


def tried(*arguments: str) -> list[str]:
    """What the script has tried, all of it well."""
    # `make test` makes it. Without it these tests fail: they are not skipped in silence.
    assert PYTHON.exists(), "no environment for KServe's clients; make one: make test-kserve"
    ended = subprocess.run(
        [PYTHON, SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


def test_every_method_of_both_clients(door_server):
    assert len(tried(door_server.url, door_server.grpc)) == 10


def test_every_method_of_the_rest_client_with_any_asgi_server(asgi_server):
    assert len(tried(asgi_server.url)) == 6

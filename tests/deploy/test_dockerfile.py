"""The Dockerfile against the command that it runs and the files that it copies."""

import json
import re
import tomllib
from pathlib import Path

from click.testing import CliRunner

from serving.cli import main
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
FINAL_STAGE = DOCKERFILE.rpartition("\nFROM ")[2]


def last(instruction: str) -> str:
    """What the final stage's last such instruction says."""
    joined = FINAL_STAGE.replace("\\\n", " ")
    return re.findall(rf"^{instruction} (.*)$", joined, re.MULTILINE)[-1].strip()


def test_the_command_has_only_flags_that_serve_knows() -> None:
    subcommand, *arguments = json.loads(last("CMD"))
    shown = CliRunner().invoke(main, [subcommand, "--help"])

    assert json.loads(last("ENTRYPOINT")) == ["jitney"]
    assert shown.exit_code == 0
    for flag in (argument for argument in arguments if argument.startswith("-")):
        assert re.search(rf"{flag}\b", shown.output)


def test_the_health_check_asks_for_what_the_server_has(
    paths: dict[str, dict[str, object]],
) -> None:
    url = re.search(r"http://127\.0\.0\.1:(\d+)(/[\w/]+)", last("HEALTHCHECK"))

    assert url
    assert int(url[1]) == Settings().port
    assert "get" in paths[url[2]]


def test_the_health_check_is_a_program_that_compiles() -> None:
    command = json.loads(last("HEALTHCHECK").partition("CMD ")[2])

    compile(command[-1], "health check", "exec")


def test_the_ports_that_are_told_are_the_servers() -> None:
    http, grpc = map(int, last("EXPOSE").split())

    assert http == Settings().port
    assert f"--grpc-port {grpc}" in DOCKERFILE


def test_what_is_installed_beside_the_server_is_among_its_extras() -> None:
    (asked,) = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.MULTILINE)

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(asked.split(",")) <= project["optional-dependencies"].keys()


def test_the_user_is_a_number_and_not_root() -> None:
    user, _, group = last("USER").partition(":")

    assert int(user) > 0
    assert int(group) > 0


def test_everything_copied_is_let_through_by_dockerignore() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copies = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
    sources = {source for copy in copies for source in copy.split()[:-1]}

    assert sources == allowed
    assert all((ROOT / source).exists() for source in sources)

"""compose.yaml: read by the real docker-compose, and compared with what it starts."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from serving.cli import main
from serving.server import GRACE_S
from serving.settings import Settings
from tests.support.haproxy import CONFIG

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.yaml"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """As docker-compose understands it: it checks the file against its schema."""
    tool = shutil.which("docker-compose")
    assert tool, "docker-compose is missing: install Debian's package docker-compose"
    read = subprocess.run(
        [tool, "--file", COMPOSE, "config"], capture_output=True, text=True, timeout=60
    )
    assert read.returncode == 0, read.stderr
    found: dict[str, dict[str, Any]] = yaml.safe_load(read.stdout)["services"]
    return found


REPLICAS = ("replica-1", "replica-2")


def flags(service: dict[str, Any]) -> list[str]:
    return [word for word in service["command"] if word.startswith("--")]


@pytest.mark.parametrize("name", REPLICAS)
def test_a_replica_is_started_as_the_server_can_be(
    name: str, services: dict[str, dict[str, Any]]
) -> None:
    replica = services[name]
    shown = CliRunner().invoke(main, ["serve", "--help"]).output
    assert all(flag in shown for flag in flags(replica))
    assert Path(replica["build"]["context"], replica["build"]["dockerfile"]) == (
        DEPLOY.parent / "deploy" / "Dockerfile"
    )
    grace = re.fullmatch(r"(\d+)s", replica["stop_grace_period"])
    lame_duck_s = float(replica["command"][replica["command"].index("--lame-duck") + 1])
    assert grace
    assert int(grace[1]) >= lame_duck_s + Settings().drain_s + GRACE_S


@pytest.mark.parametrize("name", [*REPLICAS, "proxy"])
def test_nobody_can_change_more_than_needed(name: str, services: dict[str, dict[str, Any]]) -> None:
    assert services[name]["read_only"] is True
    assert services[name]["cap_drop"] == ["ALL"]
    assert services[name]["security_opt"] == ["no-new-privileges:true"]


def test_nothing_is_open_to_the_network_by_itself(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for port in service.get("ports", ()):
            assert str(port).startswith("127.0.0.1:")


def test_the_proxy_gets_every_address_that_its_configuration_asks_for(
    services: dict[str, dict[str, Any]],
) -> None:
    asked = set(re.findall(r'"\$\{(\w+)\}"', CONFIG.read_text()))
    given = services["proxy"]["environment"]
    assert given.keys() == asked
    leads_to = {value for key, value in given.items() if key.startswith("REPLICA_")}
    assert leads_to == {f"{name}:{Settings().port}" for name in REPLICAS}


def test_the_proxy_notices_before_a_replica_stops(services: dict[str, dict[str, Any]]) -> None:
    """Lesson 20."""
    check = re.search(r"check inter (\d+)s fall (\d+)", CONFIG.read_text())
    command = services["replica-1"]["command"]
    assert check
    assert float(command[command.index("--lame-duck") + 1]) > int(check[1]) * (int(check[2]) + 1)


def test_what_is_mounted_is_there(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = str(volume).split(":")[0]
            assert not source.startswith("/") or Path(source).exists(), source


def test_prometheus_scrapes_each_replica_under_the_name_that_the_rules_ask_for() -> None:
    config = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    assert jobs["jitney"] == [f"{name}:{Settings().port}" for name in REPLICAS]
    assert config["rule_files"] == ["jitney.rules.yml"]


def test_the_dashboard_finds_what_its_provisioning_asks_for(
    services: dict[str, dict[str, Any]],
) -> None:
    provisioning = "".join(
        path.read_text() for path in (DEPLOY / "grafana" / "provisioning").rglob("*.yml")
    )
    asked = set(re.findall(r"\$\{(\w+)\}", provisioning))
    given = services["grafana"]["environment"]
    assert asked <= given.keys()
    assert given["JITNEY_DASHBOARDS"] in json.dumps(services["grafana"]["volumes"])

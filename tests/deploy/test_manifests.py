"""The Kubernetes manifests against the server that they run."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.server import GRACE_S
from serving.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"


def manifest(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text())


DEPLOYMENT = manifest("deployment.yaml")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(SERVER,) = POD["containers"]
SERVICE = manifest("service.yaml")
CONTAINERS = [*POD["initContainers"], SERVER]


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
async def test_probes_ask_for_what_the_server_has(
    probe: str, paths: dict[str, dict[str, object]]
) -> None:
    assert "get" in paths[SERVER[probe]["httpGet"]["path"]]


def test_a_server_that_is_not_ready_gets_no_traffic_but_lives() -> None:
    assert SERVER["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert SERVER["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"


def test_loading_may_take_minutes_before_a_pod_is_given_up() -> None:
    probe = SERVER["startupProbe"]

    assert probe["httpGet"]["path"] == "/v2/health/ready"
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 120


def test_the_service_leads_to_the_servers_port() -> None:
    http, grpc = SERVER["ports"]

    assert http["containerPort"] == Settings().port
    assert flag("--grpc-port") == grpc["containerPort"]
    assert [port["targetPort"] for port in SERVICE["spec"]["ports"]] == [http["name"], grpc["name"]]
    assert {SERVER[probe]["httpGet"]["port"] for probe in SERVER if probe.endswith("Probe")} == {
        http["name"]
    }


def test_selectors_choose_the_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]

    assert SERVICE["spec"]["selector"].items() <= labels.items()
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for spread in POD["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def flag(name: str) -> float:
    arguments = SERVER["args"]
    return float(arguments[arguments.index(name) + 1])


def lame_duck_s() -> float:
    return flag("--lame-duck")


def test_there_is_time_to_finish_what_was_accepted() -> None:
    """Lesson 20."""
    assert "lifecycle" not in SERVER  # a preStop would come on top of it
    assert POD["terminationGracePeriodSeconds"] >= lame_duck_s() + Settings().drain_s + GRACE_S


def test_it_serves_until_its_probe_has_told_that_it_does_not_want_to() -> None:
    """Lesson 20."""
    probe = SERVER["readinessProbe"]

    # Endpoints are taken off when the pod is deleted; who goes by the probe alone is later.
    assert lame_duck_s() >= probe["periodSeconds"] * probe["failureThreshold"]


def test_pods_are_not_root_and_hold_no_key_to_the_cluster() -> None:
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] > 0
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container["name"])
def test_containers_can_change_nothing_but_their_volumes(container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    volumes = {volume["name"] for volume in POD["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_the_server_reads_its_models_and_writes_only_to_tmp() -> None:
    mounts = {mount["mountPath"]: mount for mount in SERVER["volumeMounts"]}

    assert mounts["/models"]["readOnly"] is True
    assert SERVER["args"][-1] == "/models"
    assert "/tmp" in mounts


def test_the_quota_is_whole_cores() -> None:
    assert SERVER["resources"]["limits"]["cpu"].isdigit()
    assert "memory" in SERVER["resources"]["limits"]


def test_an_update_takes_no_replica_away() -> None:
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_kustomization_lists_every_manifest() -> None:
    kustomization = manifest("kustomization.yaml")

    listed = set(kustomization["resources"])
    assert listed == {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    renamed = {image["name"] for image in kustomization["images"]}
    assert {container["image"] for container in CONTAINERS} == renamed

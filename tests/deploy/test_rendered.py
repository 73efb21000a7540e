"""The manifests as a cluster gets them: rendered by kubectl, checked against its schemas."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.server import GRACE_S
from serving.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
VALIDATE = ROOT / ".venv-deploy" / "bin" / "kubernetes-validate"
KSERVE = ROOT / ".venv-kserve" / "bin" / "python"
OLDEST = "1.27.1"
"""The first version in which a budget can say `unhealthyPodEvictionPolicy` by itself."""

Manifest = dict[str, Any]


def rendered(folder: str) -> str:
    kubectl = shutil.which("kubectl")
    assert kubectl, "kubectl is missing: install it, 1.27 or newer"
    made = subprocess.run(
        [kubectl, "kustomize", DEPLOY / folder], capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0, made.stderr
    assert not made.stderr, made.stderr  # what is deprecated is said there
    return made.stdout


def manifests(folder: str) -> dict[str, Manifest]:
    """By their kinds, of which each is there once."""
    found = list(yaml.safe_load_all(rendered(folder)))
    by_kind = {one["kind"]: one for one in found}
    assert len(by_kind) == len(found)
    return by_kind


@pytest.mark.parametrize("version", [OLDEST, "1.37.0"])
@pytest.mark.parametrize("folder", ["kubernetes", "kubernetes-monitored"])
def test_they_are_what_kubernetes_knows(folder: str, version: str, tmp_path: Path) -> None:
    assert VALIDATE.exists(), "kubernetes-validate is missing: make .venv-deploy/.installed"
    path = tmp_path / "rendered.yaml"
    path.write_text(rendered(folder))
    checked = subprocess.run(
        [VALIDATE, "--strict", "--kubernetes-version", version, path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = checked.stdout + checked.stderr
    assert checked.returncode == 0, said
    unknown = [line for line in said.splitlines() if "Couldn't find schema" in line]
    assert all("ServiceMonitor" in line for line in unknown), unknown
    assert said.count(" passed for resource ") == len(manifests("kubernetes"))


def test_a_misspelled_field_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(rendered("kubernetes").replace("readOnlyRootFilesystem", "readOnlyRootFS", 1))
    assert subprocess.run([VALIDATE, "--strict", path], capture_output=True).returncode != 0


def test_both_have_all_that_is_needed() -> None:
    plain = {
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }
    assert manifests("kubernetes").keys() == plain
    assert manifests("kubernetes-monitored").keys() == plain | {"ServiceMonitor"}


def test_everything_is_about_the_same_pods() -> None:
    found = manifests("kubernetes-monitored")
    deployment = found["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = (
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    )
    assert all(selector.items() <= labels.items() for selector in selectors)
    target = found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"]


def test_the_network_lets_in_what_the_pods_listen_to_and_nothing_out() -> None:
    found = manifests("kubernetes")
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    policy = found["NetworkPolicy"]["spec"]
    (rule,) = policy["ingress"]
    assert {port["port"] for port in rule["ports"]} == {port["name"] for port in container["ports"]}
    assert policy["egress"] == []
    assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_the_operator_scrapes_what_the_rules_ask_for() -> None:
    """By the operator's documentation: its resources have no schema here."""
    found = manifests("kubernetes-monitored")
    monitor, service = found["ServiceMonitor"], found["Service"]
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    chosen = monitor["spec"]["selector"]["matchLabels"]
    assert chosen.items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "jitney"
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert Settings().metrics


def test_pods_are_scaled_by_what_callers_would_wait() -> None:
    adapter = yaml.safe_load((DEPLOY / "prometheus" / "adapter.yml").read_text())
    (offered,) = adapter["rules"]["custom"]
    wait, cpu = manifests("kubernetes-monitored")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert wait["pods"]["metric"]["name"] == offered["name"]["as"]
    limit = manifests("kubernetes")["Deployment"]["spec"]["template"]["spec"]["containers"][0][
        "resources"
    ]["limits"]["cpu"]
    assert cpu["resource"]["name"] == "cpu"
    assert int(cpu["resource"]["target"]["averageValue"].removesuffix("m")) < 1000 * int(limit)
    (alone,) = manifests("kubernetes")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert alone["resource"]["name"] == "cpu"


# --- KServe


def test_kserve_knows_every_field() -> None:
    assert KSERVE.exists(), "KServe's package is missing: make .venv-kserve/.installed"
    checked = subprocess.run(
        [KSERVE, Path(__file__).with_name("kserve_models.py")],
        input=json.dumps(list(manifests("kserve").values())),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_kserve_would_see_a_misspelled_field() -> None:
    runtime = manifests("kserve")["ClusterServingRuntime"]
    runtime["spec"]["containers"][0]["portz"] = []
    checked = subprocess.run(
        [KSERVE, Path(__file__).with_name("kserve_models.py")],
        input=json.dumps([runtime]),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "portz: V1Container has no such field" in checked.stdout


async def test_the_runtime_is_started_as_the_server_can_be(
    paths: dict[str, dict[str, object]],
) -> None:
    found = manifests("kserve")
    spec = found["ClusterServingRuntime"]["spec"]
    (container,) = spec["containers"]
    assert container["name"] == "kserve-container"
    told = dict(one[2:].split("=") for one in container["args"] if one.startswith("--"))
    settings = Settings(
        host=told["host"],
        port=int(told["port"]),
        grpc_port=int(told["grpc-port"]),
        lame_duck_s=float(told["lame-duck"]),
    )
    assert container["args"][0] == "serve"
    assert container["args"][-1] == "/mnt/models"  # where KServe puts them
    assert container["ports"][0]["containerPort"] == settings.port
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == settings.port
        assert "get" in paths[container[probe]["httpGet"]["path"]]
    predictor = found["InferenceService"]["spec"]["predictor"]
    least_s = settings.lame_duck_s + settings.drain_s + GRACE_S
    assert predictor["terminationGracePeriodSeconds"] >= least_s
    model = predictor["model"]
    formats = {one["name"] for one in spec["supportedModelFormats"]}
    assert model["modelFormat"]["name"] in formats
    assert model["protocolVersion"] in spec["protocolVersions"]
    assert model["runtime"] == found["ClusterServingRuntime"]["metadata"]["name"]

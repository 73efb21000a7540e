"""The dashboard as Grafana will read it, and against the metrics that there are.

That every query of it has data is seen in test_prometheus.py.
"""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.test_prometheus import RECORDED, exposed
from tests.support.dashboard import FILE, asked, dashboard, filled, panels, queries, variables
from tests.support.promql import metrics

PROVISIONING = FILE.parents[1] / "provisioning"
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SUBJECTS = ("Requests by outcome", "Latency", "Waiting", "Running", "Refusals by reason", "Padding")


def provisioned(kind: str) -> Any:
    (file,) = (PROVISIONING / kind).glob("*.yml")
    return yaml.safe_load(file.read_text())


def test_it_is_of_the_last_version_of_the_schema_and_can_be_found_again() -> None:
    board = dashboard()

    assert board["schemaVersion"] == 42
    assert board["uid"] == "jitney"
    assert "id" not in board  # Grafana gives one; another's would collide
    assert "__inputs" not in board  # which would ask for something at its import


def test_the_file_is_written_as_it_is_kept() -> None:
    """So that a change of it shows as that change."""
    assert FILE.read_text() == json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


def test_panels_fill_the_grid_without_covering_each_other() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]

    for place in places:
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_ids_and_titles_are_given_once() -> None:
    everything = dashboard()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    sections: list[set[str]] = []
    for panel in everything:
        if panel["type"] == "row":
            sections.append(set())
        else:
            assert panel["title"] not in sections[-1]
            sections[-1].add(panel["title"])


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: f"{panel['id']} {panel['title']}")
def test_a_panel_says_what_to_do_and_asks_the_chosen_prometheus(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 50
    assert panel["datasource"] == DATA_SOURCE
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert len(set(letters)) == len(letters)
    for target in panel["targets"]:
        assert target["datasource"] == DATA_SOURCE
    if panel["type"] in ("stat", "timeseries"):
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_every_query_reads_only_what_there_is() -> None:
    there = exposed() | RECORDED

    for where, expression in queries():
        assert metrics(expression), where
        assert metrics(expression) <= there, where


def test_every_metric_of_the_server_is_shown() -> None:
    """But for how a histogram and what the process says of itself are made up."""
    shown = {name for query in queries() for name in metrics(query.expression)}
    kinds = re.compile(r"_(bucket|count|sum)$")

    ours = {kinds.sub("", name) for name in exposed() if name.startswith("jitney_")}

    assert ours <= {kinds.sub("", name) for name in shown}


def test_every_model_and_server_can_be_chosen_in_every_query() -> None:
    there = variables()
    assert {"datasource", "instance", "model", "version"} <= set(there)
    for name, variable in there.items():
        if name != "datasource":
            assert variable["datasource"] == DATA_SOURCE
            assert variable["includeAll"]
            assert variable["multi"]  # so it is a regular expression wherever it is used
            asked(variable)
    for panel in panels():
        for target in panel["targets"]:
            for label, operator, name in re.findall(r'(\w+)(=~?)"\$(\w+)"', target["expr"]):
                assert operator == "=~"
                assert label == name
            assert "$instance" in target["expr"] or "$model" in target["expr"]
            assert "$" not in filled(target["expr"], "1m")


def test_what_people_ask_for_first_is_there() -> None:
    titles = [panel["title"] for panel in panels()]

    for subject in SUBJECTS:
        assert subject in titles
    assert any(panel["type"] == "heatmap" for panel in panels())


def test_grafana_is_told_where_everything_is() -> None:
    (source,) = provisioned("datasources")["datasources"]
    (provider,) = provisioned("dashboards")["providers"]

    assert source["type"] == DATA_SOURCE["type"]
    told = {source["url"], provider["options"]["path"]}
    assert told == {"${PROMETHEUS_URL}", "${JITNEY_DASHBOARDS}"}
    readme = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()
    for variable in told:
        assert variable.strip("${}") + "=" in readme

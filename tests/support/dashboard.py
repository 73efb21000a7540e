"""The Grafana dashboard as a program reads it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "jitney.json"


class Query(NamedTuple):
    """One expression, and where it stands."""

    where: str
    expression: str


def dashboard() -> dict[str, Any]:
    return json.loads(FILE.read_text())


def panels() -> list[dict[str, Any]]:
    """Those that show something; rows are only titles."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def variables() -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in dashboard()["templating"]["list"]}


def queries(rate_interval: str = "15s") -> Iterator[Query]:
    """All of the panels' and the variables', with every variable at its `All`."""
    for panel in panels():
        for target in panel["targets"]:
            where = f"{panel['title']} ({target['refId']})"
            yield Query(where, filled(target["expr"], rate_interval))
    for name, variable in variables().items():
        if variable["type"] == "query":
            metric, label = asked(variable)
            yield Query(f"variable {name}", filled(f"count by ({label}) ({metric})", rate_interval))


def asked(variable: dict[str, Any]) -> tuple[str, str]:
    """The series and the label that a variable takes its values from."""
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
    assert found, variable["query"]
    return found[1], found[2]


def filled(expression: str, rate_interval: str) -> str:
    """The expression as Grafana would send it, with every variable at its `All`."""
    values = {name: variable.get("allValue", "") for name, variable in variables().items()}
    values["__rate_interval"] = rate_interval
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)

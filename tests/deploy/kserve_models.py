"""Run with KServe's own package: does it know every field of the manifests on stdin?

Its models are generated from the same source as the schemas of the cluster's resources.
Prints what is wrong, a line each, and ends with 1 if anything is.
"""

import json
import re
import sys
from typing import Any

import kserve.models
import kubernetes.client

KINDS = {
    ("serving.kserve.io/v1alpha1", "ClusterServingRuntime"): "V1alpha1ClusterServingRuntime",
    ("serving.kserve.io/v1beta1", "InferenceService"): "V1beta1InferenceService",
}
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}


def faults(value: Any, kind: str, where: str) -> list[str]:
    """What of a value is not of this kind."""
    if inner := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            return [f"{where}: expected a list"]
        return [
            fault
            for index, one in enumerate(value)
            for fault in faults(one, inner[1], f"{where}[{index}]")
        ]
    if inner := re.fullmatch(r"dict\(str, (.*)\)", kind):
        return [
            fault for key, one in value.items() for fault in faults(one, inner[1], f"{where}.{key}")
        ]
    if kind in PLAIN:
        return [] if isinstance(value, PLAIN[kind]) else [f"{where}: expected {kind}"]
    model = getattr(kserve.models, kind, None) or getattr(kubernetes.client, kind, None)
    if model is None:
        return []  # quantities, and what may be a number or a word
    known = {model.attribute_map[name]: of for name, of in model.openapi_types.items()}
    found = [f"{where}.{key}: {kind} has no such field" for key in value if key not in known]
    for key in value.keys() & known.keys():
        found += faults(value[key], known[key], f"{where}.{key}")
    return found


def main() -> int:
    """Check them all."""
    found = []
    for manifest in json.load(sys.stdin):
        kind = KINDS[manifest["apiVersion"], manifest["kind"]]
        found += faults(manifest, kind, manifest["kind"])
    print("\n".join(found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

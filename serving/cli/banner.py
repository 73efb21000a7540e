"""What `jitney serve` prints once it is ready."""

from ..deployment import Deployment
from ..engine import Engine
from ..example import curl


def serving_banner(engine: Engine, url: str, took_s: float) -> str:
    """What is served, how, and a command for each model that can be pasted and works."""
    count = len(engine.deployments)
    lines = [
        f"Ready in {took_s:.1f} s: {count} model{'s' if count != 1 else ''}, docs at {url}/docs"
    ]
    for name, deployment in sorted(engine.deployments.items()):
        description = deployment.model.source.config.description
        lines += [
            "",
            f"{name} (version {deployment.version}){': ' + description if description else ''}",
            f"  {_batching(deployment)}",
            f"  {curl(deployment.model, url)}",
        ]
    return "\n".join(lines)


def _batching(deployment: Deployment) -> str:
    """What measurement says of batching, in words."""
    if not deployment.batching:
        return "one request at a time: its shapes or its settings rule batching out"
    alone_s, rows = deployment.cost.predict(1), deployment.max_rows
    if rows == 1:
        return f"{alone_s * 1e3:.2g} ms a row; batching does not pay for this model"
    gain = alone_s / (deployment.cost.predict(rows) / rows)
    return f"{alone_s * 1e3:.2g} ms for one row; batching pays {gain:.1f}x, up to {rows} rows"

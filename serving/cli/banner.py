"""What `jitney serve` prints once it is ready."""

from ..curve import Curve
from ..engine import Engine
from ..example import curl


def serving_banner(engine: Engine, url: str, took_s: float) -> str:
    """What is served, how, and a command for each model that can be pasted and works."""
    count = len(engine.deployments)
    lines = [
        f"Ready in {took_s:.1f} s: {count} model{'s' if count != 1 else ''}; "
        f"open {url} (its documentation is at {url}/docs)"
    ]
    for name, deployment in sorted(engine.deployments.items()):
        description = deployment.model.source.config.description
        profile = deployment.model.profile
        lines += [
            "",
            f"{name} (version {deployment.version}){': ' + description if description else ''}",
            f"  {profile.proof.says}; {Curve(profile).words()}",
            f"  {curl(deployment.model, url)}",
        ]
    return "\n".join(lines)

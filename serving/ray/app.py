"""The application as Ray Serve gets it. The only module here that imports Ray.

    serve run serving.ray.app:app models=/models cpus=2 max_replicas=4

See deploy/ray/serve.yaml for the same as a file, and `options.py` for what may be said.
"""

from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

from .options import Options
from .replica import Replica

UNBOUNDED = 1_000_000
"""Requests that a replica takes at one time. Bounds are the engine's own: it answers 429."""
SPARE_S = 10.0
"""How long after the end of `drain_s` Ray waits before it kills a replica."""


def app(args: dict[str, Any]) -> Application:
    """The application of what was said on a command line or in a file. Raises BadOptions."""
    return application(Options.of(args))


def application(options: Options) -> Application:
    """The application, to be given to `serve.run`."""
    replica = serve.ingress()(Replica)
    replica.__name__ = "Jitney"
    deployment = serve.deployment(
        replica,
        name="Jitney",
        max_ongoing_requests=UNBOUNDED,
        ray_actor_options={"num_cpus": options.cpus},
        autoscaling_config=AutoscalingConfig(
            min_replicas=options.min_replicas,
            max_replicas=options.max_replicas,
            policy=AutoscalingPolicy(policy_function="serving.ray.scaling:policy"),
        ),
        graceful_shutdown_timeout_s=options.settings.drain_s + SPARE_S,
    )
    return deployment.bind(options)

"""One replica: an engine and its whole protocol, led by Ray Serve instead of by `lifecycle`.

    Ray Serve's proxy ─► replica's ASGI application ─► the same gate, engine and routes

What Ray Serve calls, and what is done then:

    starts it          models load; it gets no requests before every one of them answers
    check_health       what /v2/health/ready says; Ray replaces a replica that is not ready
    stops it           no more requests come, those that are here are answered, it drains

Ray must not queue what it should pass on: deadlines count and refusals are made here, where it
is known what a batch costs. So a replica takes as many requests as come.
"""

import math

from models import divide_cores, find_models, usable_cores

from ..app import compose
from ..engine import Engine
from ..gate import App
from ..observe.logs import configure_logs
from ..observe.report import gauges
from .options import Options
from .scaling import Load


class NotReady(Exception):
    """Why a replica should be replaced."""


class Replica:
    """See the module. Made by Ray Serve, on the event loop that then runs it."""

    def __init__(self, options: Options) -> None:
        """Raises BadModel if there is nothing to serve at the paths."""
        configure_logs(options.settings.log_format)
        share_cores(options.cpus)
        self._engine = Engine(find_models(options.settings.models), options.settings)
        self._load = Load(usable_cores())

    def __serve_build_asgi_app__(self) -> App:
        # Starts the engine, and stops it in the end: Ray Serve leads the lifespan.
        return compose(self._engine)

    async def check_health(self) -> None:
        """Return if all is well. The first time, when every model answers; raises BadModel."""
        await self._engine.loaded()
        if reason := self._engine.why_not_ready():
            raise NotReady(reason)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """What `scaling.policy` decides by."""
        now = map(gauges, self._engine.deployments.values())
        return self._load.stats(one["predicted_wait_s"] / one["slo_s"] for one in now)


def share_cores(cpus: int) -> None:
    """Use no more cores than Ray was asked for: it counts them, and enforces nothing."""
    divide_cores(1)
    divide_cores(max(1, math.ceil(usable_cores() / cpus)))

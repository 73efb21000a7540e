"""How many replicas there should be. Pure but for reading clocks; knows nothing of Ray.

Each replica says two numbers of itself: how much of what callers are promised a new request
would wait, and how busy its cores are. The first adds replicas before anybody is late; the
second keeps them while they are needed, for a server that batches well has no queue to speak of
until it is nearly full.
"""

import time
from collections.abc import Callable, Iterable
from statistics import fmean
from typing import Any, Final

WAIT_TARGET: Final = 0.3
"""Of what is promised: what a new request may wait. As `deploy/kubernetes-monitored` has it."""
BUSY_TARGET: Final = 0.8
"""Of a replica's cores: what may be used."""
TOLERANCE: Final = 0.1
"""A ratio so close to 1 changes nothing, or rounding up would add a replica each time."""

WAIT, BUSY = "jitney_wait", "jitney_busy"


class Load:
    """What one replica has to say. Ask it now and then."""

    def __init__(
        self,
        cores: int,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.process_time,
    ) -> None:
        """used: seconds of CPU time that this process has used."""
        self._cores, self._clock, self._used = cores, clock, used
        self._last = clock(), used()

    def stats(self, waits: Iterable[float]) -> dict[str, float]:
        """The worst wait of its models, and how busy it was since it was last asked."""
        now, used = self._clock(), self._used()
        (before, used_before), self._last = self._last, (now, used)
        passed_s = max(now - before, 1e-3)
        return {
            WAIT: max(waits, default=0.0),
            BUSY: (used - used_before) / passed_s / self._cores,
        }


def desired(replicas: int, waits: Iterable[float], busies: Iterable[float]) -> float:
    """How many there should be, if so many say this of themselves; not rounded."""
    waits, busies = list(waits), list(busies)
    ratio = max(
        fmean(waits) / WAIT_TARGET if waits else 0.0,
        fmean(busies) / BUSY_TARGET if busies else 0.0,
    )
    if not (waits or busies) or abs(ratio - 1) <= TOLERANCE:
        return replicas
    return replicas * ratio


def policy(context: Any) -> tuple[float, dict[str, Any]]:
    """`desired` as Ray Serve asks for it; Ray then applies delays, factors and limits.

    context: a ray.serve.config.AutoscalingContext.
    """
    said = context.aggregated_metrics or {}
    waits, busies = (list(said.get(name, {}).values()) for name in (WAIT, BUSY))
    if not waits or not context.current_num_replicas:
        return context.target_num_replicas, {}
    return desired(context.current_num_replicas, waits, busies), {}

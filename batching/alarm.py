"""One timer for the earliest of many deadlines, and none while there is no deadline."""

import asyncio
from collections.abc import Callable
from math import inf


class Alarm:
    """Calls back once when its instant has come, unless it is set anew before."""

    def __init__(self, clock: Callable[[], float], ring: Callable[[], None]) -> None:
        """`clock`: seconds; what `set` names is an instant of it."""
        self._clock = clock
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self.at = inf
        """When it will ring; inf if it will not."""

    def set(self, at: float) -> None:
        """Ring at this instant and at no other; `inf` is never."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.at = at
        if at < inf:
            delay_s = max(0.0, at - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self.at = None, inf
        self._ring()

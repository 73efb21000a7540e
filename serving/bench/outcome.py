"""What came of each request of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

LOST = -1
"""The connection ended, or said something that is no reply."""
TIMED_OUT = -2
"""No whole reply in as long as a caller waits."""
NO_CONNECTION = -3
"""None could be made."""


@dataclass(frozen=True)
class Outcome:
    """For each request one element of four arrays, in the order in which they were due."""

    due_s: NDArray[np.float64]
    """Seconds from the beginning of the run."""
    latency_s: NDArray[np.float64]
    """From the instant at which it was due to the end of its reply; NaN without one."""
    lateness_s: NDArray[np.float64]
    """How much later than due the generator turned to it: its own fault."""
    status: NDArray[np.int16]
    """HTTP's; below 0 for the reasons above."""
    waited: int = 0
    """Requests for which no connection was free when they were due."""
    cpu_share: float = 0.0
    """Of one core, used by the generator while it sent; of several, by the busiest."""
    connections: int = 0
    """The most that were open at once."""
    exhausted: bool = False
    """Whether more connections were wanted than may be."""

    def __len__(self) -> int:
        return len(self.due_s)

    def since(self, begin_s: float) -> "Outcome":
        """Without what was due before, as counted from the beginning of what is left."""
        keep = self.due_s >= begin_s
        return replace(
            self,
            due_s=self.due_s[keep] - begin_s,
            latency_s=self.latency_s[keep],
            lateness_s=self.lateness_s[keep],
            status=self.status[keep],
        )


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """Of several generators that shared a schedule."""
    if len(outcomes) == 1:
        return outcomes[0]
    due_s = np.concatenate([outcome.due_s for outcome in outcomes])
    order = np.argsort(due_s, kind="stable")
    return Outcome(
        due_s[order],
        np.concatenate([outcome.latency_s for outcome in outcomes])[order],
        np.concatenate([outcome.lateness_s for outcome in outcomes])[order],
        np.concatenate([outcome.status for outcome in outcomes])[order],
        sum(outcome.waited for outcome in outcomes),
        max(outcome.cpu_share for outcome in outcomes),
        sum(outcome.connections for outcome in outcomes),
        any(outcome.exhausted for outcome in outcomes),
    )

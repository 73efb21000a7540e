"""How many users there are while a load test runs. Pure: shares of the most, by shares of the time.

Each function takes how much of the time is over, from 0 to 1, and gives how many of the users
are there, from 0 to 1; None when the test is over.
"""

from collections.abc import Callable


def steady(over: float) -> float | None:
    """All of them, all the time."""
    return 1.0 if over < 1 else None


def ramp(over: float) -> float | None:
    """One more after the other; all of them in the last tenth."""
    return min(1.0, over / 0.9) if over < 1 else None


def step(over: float) -> float | None:
    """A fifth, two fifths, and so on: what each number of users does can be read off."""
    return (int(over * 5) + 1) / 5 if over < 1 else None


def spike(over: float) -> float | None:
    """A tenth of them; all at once, twice; and a tenth again, who must not feel it for long."""
    if over >= 1:
        return None
    return 1.0 if 0.3 <= over < 0.4 or 0.6 <= over < 0.7 else 0.1


def soak(over: float) -> float | None:
    """Half of them, for long: what grows shows."""
    return 0.5 if over < 1 else None


SHAPES: dict[str, Callable[[float], float | None]] = {
    shape.__name__: shape for shape in (steady, ramp, step, spike, soak)
}
SECONDS = {"steady": 5, "ramp": 20, "step": 25, "spike": 20, "soak": 600}
"""How long each takes, where nothing else is said."""

"""What a model answered: arrays by name, and how the answer came about."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

Array = NDArray[Any]


class Timing(NamedTuple):
    """What the time went into, as the server says it."""

    queue_s: float
    """Waited for a place in a batch."""
    run_s: float
    """The batch's run of the model."""
    encode_s: float
    rows: int
    """Of the batch that the request rode in, company included."""
    padding: float = 0.0
    """The share of the run that went into making short rows as long as the longest."""


class Answer(Mapping[str, Array]):
    """A model's outputs by their names, arrays of their own that may be written to."""

    __slots__ = ("_outputs", "attempts", "id", "index", "model", "server_timing", "version")

    def __init__(
        self,
        outputs: dict[str, Array],
        *,
        model: str,
        version: str = "",
        id: str = "",
        server_timing: str = "",
    ) -> None:
        self._outputs = outputs
        self.model = model
        self.version = version
        self.id = id
        """The `request_id` that was given; empty where none was."""
        self.server_timing = server_timing
        """The header as it came; empty where there was none."""
        self.attempts = 1
        """How often the request was sent."""
        self.index: int | None = None
        """Which input of a stream this answers, from 0; None outside of one."""

    def __getitem__(self, name: str) -> Array:
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    @property
    def timing(self) -> Timing | None:
        """None where the server does not tell."""
        # Read when it is asked for: most who ask for an answer do not.
        return timing_in(self.server_timing)

    def __repr__(self) -> str:
        tensors = ", ".join(
            f"{name}: {array.dtype} {list(array.shape)}" for name, array in self._outputs.items()
        )
        return f"<Answer of {self.model} {self.version}: {tensors}>"


_METRIC = re.compile(r"(queue|run|encode|batch|padding);(?:dur|desc)=([0-9.]+)")


def timing_in(header: str) -> Timing | None:
    """A `Server-Timing` header as this server writes it; None for any other."""
    found = {name: float(value) for name, value in _METRIC.findall(header)}
    try:
        return Timing(
            found["queue"] / 1e3,
            found["run"] / 1e3,
            found["encode"] / 1e3,
            int(found["batch"]),
            found.get("padding", 0.0) / 1e2,
        )
    except KeyError:
        return None

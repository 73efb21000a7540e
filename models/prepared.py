"""What a pipeline makes of one request: the tensors that go into the queue."""

from collections.abc import Sequence
from dataclasses import dataclass

from .signature import Tensors


@dataclass(frozen=True)
class Prepared:
    """One request, ready for the queue."""

    tensors: Tensors
    """What the runtime takes."""
    length: int = 0
    """Their length along the axis that is padded; 0 where there is none."""
    lengths: Sequence[int] = ()
    """Of each row its own, where all are padded to the longest; nothing where that is not known."""

"""A whole table through a model: Parquet, CSV or JSON lines in, the same out.

`run` does a `Job`. Needs pyarrow (`pip install 'jitney[map]'`), so nothing else imports it.
"""

from .errors import CannotMap, MappingError, TooManyRejected
from .job import Job, Outcome, run
from .local import Engine, LocalEngine
from .mapper import Mapped, Mapper

__all__ = [
    "CannotMap",
    "Engine",
    "Job",
    "LocalEngine",
    "Mapped",
    "Mapper",
    "MappingError",
    "Outcome",
    "TooManyRejected",
    "run",
]

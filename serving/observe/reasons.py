"""Why a request was not answered with its rows, in one word: a metric's label."""

from collections.abc import Mapping
from typing import Final

from batching import DeadlineExceeded, Draining, QueueFull, RunFailed, TooLate, TooManyRows
from models import InvalidInput, ModelNotReady, PipelineFailed

from ..errors import BodyTooLarge, UnsupportedEncoding
from ..protocol import InvalidRequest

REASONS: Final[Mapping[type[BaseException], str]] = {
    QueueFull: "queue_full",
    TooLate: "too_late",
    TooManyRows: "too_many_rows",
    Draining: "draining",
    DeadlineExceeded: "deadline_exceeded",
    InvalidRequest: "invalid",
    InvalidInput: "invalid",
    UnsupportedEncoding: "unsupported_encoding",
    BodyTooLarge: "body_too_large",
    ModelNotReady: "not_ready",
    RunFailed: "run_failed",
    PipelineFailed: "pipeline_failed",
}
UNEXPECTED: Final = "internal"

FAULTS: Final = frozenset({"run_failed", "pipeline_failed", UNEXPECTED})
"""Those that are the server's, or its model's; the others are refusals."""


def reason_of(error: BaseException) -> str:
    """The word for an error; the nearest of its classes counts."""
    known = REASONS.get(type(error))
    if known is None:
        kinds = type(error).__mro__
        known = next((REASONS[kind] for kind in kinds if kind in REASONS), UNEXPECTED)
    return known

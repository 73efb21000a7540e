"""Why a request took as long as it did, as the standard `Server-Timing` header spells it."""

from .deployment import Answer


def server_timing(answer: Answer, encode_s: float) -> bytes | None:
    """The header's value; None where no batch carried the request."""
    if (batch := answer.batch) is None:
        return None
    timing = b"queue;dur=%.3f, run;dur=%.3f, encode;dur=%.3f, batch;desc=%d" % (
        answer.waited_s * 1e3,
        batch.run_s * 1e3,
        encode_s * 1e3,
        batch.rows,
    )
    if batch.work and (padding := round(100 * batch.padding)):
        # The share of the run that went into making short rows as long as the longest.
        timing += b", padding;desc=%d%%" % padding
    return timing

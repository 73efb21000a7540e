"""Why a request took as long as it did, as the standard `Server-Timing` header spells it."""

from functools import lru_cache

from batching import Batch


def server_timing(batch: Batch, waited_s: float, encode_s: float) -> bytes:
    """The header's value for a request that rode in this batch."""
    run, rows = _shared(batch)
    return b"queue;dur=%.3f%bencode;dur=%.3f%b" % (waited_s * 1e3, run, encode_s * 1e3, rows)


@lru_cache(maxsize=1)
def _shared(batch: Batch) -> tuple[bytes, bytes]:
    """What it says to all riders of a batch that has run. They are answered in one go."""
    rows = b", batch;desc=%d" % batch.rows
    if batch.work and (padding := round(100 * batch.padding)):
        # The share of the run that went into making short rows as long as the longest.
        rows += b", padding;desc=%d%%" % padding
    return b", run;dur=%.3f, " % (batch.run_s * 1e3), rows

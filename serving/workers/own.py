"""What a process says of itself beside what it serves. Pure but for reading the clock."""

import os
import time
from pathlib import Path

STARTED_S = time.time()


def about_this_process() -> dict[str, float]:
    """Seconds of CPU time, bytes that are resident, and when it was started."""
    return {
        "cpu_s": time.process_time(),
        "resident_bytes": resident_bytes(),
        "started_s": STARTED_S,
    }


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """Bytes of memory that are resident; 0 where the system does not say so."""
    try:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0

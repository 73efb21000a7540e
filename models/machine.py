"""What this machine is, and what of it we may use: its cores."""

import math
import os
import platform
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")
CPU_INFO = Path("/proc/cpuinfo")

_processes = 1


def divide_cores(processes: int) -> None:
    """This process is one of several that share the cores: `usable_cores` is its share.

    All shares are equal, so that what one has measured is true for the others.
    Raises ValueError if there is less than one core for each.
    """
    global _processes
    _processes = 1
    cores = usable_cores()
    if not 1 <= processes <= cores:
        raise ValueError(f"{processes} processes cannot share {cores} core{'s' * (cores > 1)}")
    _processes = processes


def usable_cores(cgroups: Path = CGROUPS, own_group: Path = OWN_GROUP) -> int:
    """Cores that this process may keep busy: its affinity or its quota, whichever is less.

    A container's quota is not in `os.cpu_count()`; threads beyond it only make each
    other wait, and so do those on the part of a core. A share of them, after
    `divide_cores`. At least 1.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = math.floor(min(allowed or 1, cpu_quota(cgroups, own_group)))
    return max(1, cores // _processes)


def cpu_model(cpu_info: Path = CPU_INFO) -> str:
    """What kind of processor this is, as far as the system says."""
    for line in _read(cpu_info).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def cpu_quota(cgroups: Path = CGROUPS, own_group: Path = OWN_GROUP) -> float:
    """Cores' worth of time that the control group grants, of either version; inf if unbounded."""
    return min(_quota_v2(cgroups, own_group), _quota_v1(cgroups))


def _quota_v2(cgroups: Path, own_group: Path) -> float:
    """The tightest `cpu.max` from our own group up to the root."""
    group = cgroups / _group_in(own_group).lstrip("/")
    tightest = math.inf
    for folder in (group, *group.parents):
        if not folder.is_relative_to(cgroups):
            break
        words = _read(folder / "cpu.max").split()
        if len(words) == 2 and words[0] != "max":
            tightest = min(tightest, int(words[0]) / int(words[1]))
    return tightest


def _quota_v1(cgroups: Path) -> float:
    quota = _read(cgroups / "cpu" / "cpu.cfs_quota_us").strip()
    period = _read(cgroups / "cpu" / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota and period and int(quota) > 0 else math.inf


def _group_in(own_group: Path) -> str:
    for line in _read(own_group).splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            return path
    return "/"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

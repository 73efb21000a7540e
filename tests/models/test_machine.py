"""How many cores may be kept busy: the container's share, not the host's."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.machine import cpu_quota, usable_cores

BINDS = hasattr(os, "sched_setaffinity")
ALLOWED = len(os.sched_getaffinity(0)) if BINDS else os.cpu_count() or 1


class Groups:
    """A tree of control groups, and the file that says which of them is ours."""

    def __init__(self, root: Path, own: str) -> None:
        self.root, self.own = root / "cgroup", root / "own"
        self.own.write_text(own)

    def write(self, file: str, text: str) -> None:
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def quota(self) -> float:
        return cpu_quota(self.root, self.own)

    @property
    def cores(self) -> int:
        return usable_cores(self.root, self.own)


@pytest.fixture
def groups(tmp_path: Path) -> Groups:
    """As a process of a Kubernetes pod is in, seen from the host."""
    return Groups(tmp_path, own="0::/pods/mine\n")


# --- version 2


def test_the_quota_is_that_of_our_own_group(groups: Groups) -> None:
    groups.write("pods/mine/cpu.max", "150000 100000\n")

    assert groups.quota == 1.5


@pytest.mark.parametrize("tight", ["cpu.max", "pods/cpu.max", "pods/mine/cpu.max"])
def test_the_tightest_quota_up_to_the_root_counts(groups: Groups, tight: str) -> None:
    for file in ("cpu.max", "pods/cpu.max", "pods/mine/cpu.max"):
        groups.write(file, "800000 100000\n")
    groups.write(tight, "50000 100000\n")

    assert groups.quota == 0.5


def test_the_quota_of_a_neighbour_does_not_count(groups: Groups) -> None:
    groups.write("pods/other/cpu.max", "10000 100000\n")

    assert groups.quota == math.inf


def test_a_group_without_a_limit_says_max(groups: Groups) -> None:
    groups.write("pods/mine/cpu.max", "max 100000\n")
    groups.write("pods/cpu.max", "300000 100000\n")

    assert groups.quota == 3


@pytest.mark.parametrize("own", ["0::/\n", "0::/../../elsewhere\n", "", "1:cpu:/pods/mine\n"])
def test_the_root_counts_where_our_group_cannot_be_seen(tmp_path: Path, own: str) -> None:
    groups = Groups(tmp_path, own)
    groups.write("cpu.max", "200000 100000\n")

    assert groups.quota == 2


# --- version 1


def test_the_quota_of_version_1_counts(groups: Groups) -> None:
    groups.write("cpu/cpu.cfs_quota_us", "250000\n")
    groups.write("cpu/cpu.cfs_period_us", "100000\n")

    assert groups.quota == 2.5


def test_version_1_without_a_limit_says_minus_one(groups: Groups) -> None:
    groups.write("cpu/cpu.cfs_quota_us", "-1\n")
    groups.write("cpu/cpu.cfs_period_us", "100000\n")

    assert groups.quota == math.inf


# --- cores


def test_without_any_control_group_the_affinity_counts(groups: Groups) -> None:
    assert groups.quota == math.inf
    assert groups.cores == ALLOWED


@pytest.mark.parametrize("quota", ["0", "1000", "100000"])
def test_there_is_never_less_than_one_core(groups: Groups, quota: str) -> None:
    groups.write("cpu.max", f"{quota} 100000\n")

    assert groups.cores == 1


def test_a_part_of_a_core_is_none_but_there_is_always_one(groups: Groups) -> None:
    """Lesson 22: two threads on 1.9 cores would be stopped for part of every period."""
    groups.write("cpu.max", "190000 100000\n")
    assert groups.cores == 1

    groups.write("cpu.max", "50000 100000\n")
    assert groups.cores == 1


def test_a_quota_beyond_the_affinity_adds_nothing(groups: Groups) -> None:
    groups.write("cpu.max", f"{(ALLOWED + 1) * 100000} 100000\n")

    assert groups.cores == ALLOWED


@pytest.mark.skipif(not BINDS, reason="this system binds no process to cores")
def test_a_process_that_is_bound_to_one_core_uses_one() -> None:
    core = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, [{core}]);"
        "from models.machine import usable_cores; print(usable_cores())"
    )

    printed = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout

    assert printed == "1\n"

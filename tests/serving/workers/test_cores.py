"""Cores are divided among processes."""

import subprocess
import sys

import pytest

from models import divide_cores, usable_cores


def in_another_process(program: str) -> str:
    """What is decided there is for that process only."""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.mark.parametrize(("cores", "processes", "share"), [(8, 2, 4), (5, 2, 2), (4, 4, 1)])
def test_all_shares_are_equal_and_never_more_than_there_are(
    cores: int, processes: int, share: int
) -> None:
    """Lesson 22."""
    told = in_another_process(
        "import os; from models import divide_cores, usable_cores, machine\n"
        f"os.sched_getaffinity = lambda _: set(range({cores})); machine.cpu_quota = lambda *_: 99\n"
        f"divide_cores({processes}); print(usable_cores())"
    )
    assert int(told) == share
    assert processes * share <= cores


def test_more_processes_than_cores_are_refused_and_nothing_is_changed() -> None:
    before = usable_cores()
    with pytest.raises(ValueError, match="cannot share"):
        divide_cores(before + 1)
    assert usable_cores() == before

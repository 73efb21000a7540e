"""`make soak`: what counts as growth, and that it runs."""

import json
import os
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load_tests import records
from tests.load_tests.scripts import FOLDER, scripts

with scripts():
    from soak import slope as slopes
    from soak import watch

numbers = st.floats(-1e3, 1e3)
series = st.lists(numbers, min_size=6, max_size=80)


def noise(seed: int, count: int, memory: float = 0.0) -> list[float]:
    """Of spread 1. memory: how much of a value goes on into the next."""
    random = Random(seed)
    drawn = (random.gauss(0, (1 - memory**2) ** 0.5) for _ in range(count))
    return list(accumulate(drawn, lambda before, new: memory * before + new))


# --- the slope


@given(values=series, rise=numbers, level=numbers)
def test_a_line_that_is_added_is_added_to_the_slope(
    values: list[float], rise: float, level: float
) -> None:
    times = [float(n) for n in range(len(values))]
    before = slopes.slope(times, values)

    after = slopes.slope(times, [level + rise * t + v for t, v in zip(times, values, strict=True)])

    assert after.value == pytest.approx(before.value + rise, abs=1e-6)
    assert after.high - after.low == pytest.approx(before.high - before.low, abs=1e-6)
    assert after.low <= after.value <= after.high


@given(rise=numbers, level=numbers, count=st.integers(6, 600))
def test_a_line_without_noise_is_certain(rise: float, level: float, count: int) -> None:
    times = [n * 1.5 for n in range(count)]

    found = slopes.slope(times, [level + rise * t for t in times])

    assert (found.low, found.value, found.high) == pytest.approx((rise, rise, rise), abs=1e-6)


@given(values=series, scale=st.floats(0.1, 10))
def test_the_unit_does_not_matter(values: list[float], scale: float) -> None:
    times = [float(n) for n in range(len(values))]
    once = slopes.slope(times, values)

    scaled = slopes.slope(times, [scale * value for value in values])

    assert scaled.value == pytest.approx(scale * once.value, abs=1e-6)
    assert scaled.high == pytest.approx(scale * once.high, abs=1e-6)


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_the_true_slope_is_within_the_interval_as_often_as_it_says(memory: float) -> None:
    times = [float(n) for n in range(450)]
    within = 0
    for seed in range(400):
        found = slopes.slope(times, noise(seed, 450, memory))
        within += found.low <= 0 <= found.high

    # 380 of them are expected; with samples that go on into the next some fewer.
    assert 360 <= within <= 396


@pytest.mark.parametrize("count", range(6))
def test_too_few_samples_are_a_sentence(count: int) -> None:
    with pytest.raises(ValueError, match=f"at least 6 samples, got {count}"):
        slopes.slope(range(count), range(count))


# --- what grew


def test_noise_is_no_growth_and_a_leak_under_it_is() -> None:
    times = [float(n) for n in range(450)]
    flat = [400 + 2 * value for value in noise(1, 450)]
    leaks = [value + 0.01 * t for t, value in zip(times, flat, strict=True)]

    assert slopes.memory_grew(times, flat) == ""
    assert "resident memory grew by 4." in slopes.memory_grew(times, leaks)
    assert slopes.memory_grew(times, leaks[::-1]) == ""


def test_less_than_an_allocator_takes_at_once_is_no_growth() -> None:
    times = [float(n) for n in range(450)]

    assert slopes.memory_grew(times, [400 + 0.002 * t for t in times]) == ""
    assert slopes.memory_grew(times, [400 + 0.003 * t for t in times])


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=80))
def test_what_comes_back_to_where_it_was_did_not_grow(counts: list[int]) -> None:
    assert slopes.count_grew("threads", counts * 4) == ""
    more = max(counts) + 1
    assert slopes.count_grew("threads", counts + [more] * len(counts)).endswith(f"to {more}")


def test_the_beginning_is_not_judged() -> None:
    seen = slopes.judged({"at_s": [float(n) for n in range(101)], "threads": list(range(101))})

    assert seen["at_s"][0] == 50
    assert seen["threads"] == list(range(50, 101))


# --- the verdict


def test_every_kind_of_problem_is_named() -> None:
    good = records.soak()
    samples = good["samples"]
    assert watch.verdict(good["entries"], samples)["problems"] == []

    entry = good["entries"][0]
    bad = {
        "at_s": samples["at_s"],
        "resident_mb": [200.0 + n for n in range(60)],
        "anonymous_mb": samples["anonymous_mb"],
        "threads": list(range(60)),
        "descriptors": list(range(60)),
    }
    problems = watch.verdict([entry | {"failed": 3}], bad)["problems"]

    assert problems[0] == "3 digits, JSON: failed"
    assert [said.split(" grew ")[0] for said in problems[1:]] == [
        "resident memory",
        "threads",
        "file descriptors",
    ]
    assert watch.verdict([entry | {"requests": 0}], samples)["problems"] == ["nothing was asked"]


def test_a_process_is_seen_as_it_is(tmp_path: Path) -> None:
    before = watch.sample(os.getpid())
    with (tmp_path / "open").open("w"):
        during = watch.sample(os.getpid())

    assert during["descriptors"] == before["descriptors"] + 1
    assert 10 < before["anonymous_mb"] < before["resident_mb"]
    assert before["threads"] >= 1


# --- for real


@pytest.mark.skipif(
    not (FOLDER / "out" / "real_models" / "minilm").is_dir(), reason="`make models` was not run"
)
def test_a_short_soak_has_no_wrong_answer(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "soak" / "watch.py"), "--seconds", "20"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=240
    )

    assert done.returncode in (0, 1), done.stdout + done.stderr
    record = json.loads((tmp_path / "soak.json").read_text())
    # In twenty seconds memory may well grow: most inputs come for the first time.
    assert not [said for said in record["problems"] if "failed" in said or "asked" in said]
    assert done.returncode == int(bool(record["problems"]))
    kinds = {entry["name"] for entry in record["entries"] if entry["requests"]}
    models = ("digits", "iris", "magika", "minilm", "perceptron")
    assert {name.partition(",")[0] for name in kinds if "," in name} == set(models)
    assert {"wrong requests", "callers who leave", "minilm, binary", "digits, JSON"} <= kinds
    samples = record["samples"]
    assert len({len(values) for values in samples.values()}) == 1
    assert len(samples["at_s"]) >= 5


def test_seconds_are_for_make_too() -> None:
    made = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "soak", "SECONDS=33"],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
    )

    assert "load_tests/soak/watch.py --seconds 33\n" in made.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--seconds", "9"], "at least 20"), (["--users", "0"], "at least 1")],
)
def test_a_mistake_is_a_sentence(arguments: list[str], says: str) -> None:
    command = [sys.executable, str(FOLDER / "soak" / "watch.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr

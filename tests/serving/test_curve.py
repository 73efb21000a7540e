"""The cost curve as people see it."""

import pytest

from models import Profile, Proof
from serving.curve import Curve

PROVEN = Proof(True, "the same", 0.0)


def curve(*samples: tuple[int, int, float], proof: Proof = PROVEN, max_rows: int = 0) -> Curve:
    most = max_rows or max(rows for rows, _, _ in samples)
    return Curve(Profile(samples, 1, 1, proof, most))


def test_the_bars_are_as_long_as_a_row_is_dear_and_the_choice_is_marked() -> None:
    picture = curve((1, 0, 1e-3), (2, 0, 1e-3), (4, 0, 1e-3)).picture()

    assert picture == [
        "rows  µs a row",
        "   1     1,000  " + "#" * 48,
        "   2       500  " + "#" * 24,
        "   4       250  " + "#" * 12 + "  <- chosen",
    ]


def test_a_choice_between_two_measurements_is_drawn_too() -> None:
    samples = [(rows, 0, 1e-3 + 1e-4 * rows) for rows in (1, 64, 256)]

    chosen = curve(*samples).gains[0].rows

    assert chosen not in (1, 64, 256)
    assert any(
        line.split()[0] == str(chosen) and line.endswith("<- chosen")
        for line in curve(*samples).picture()
    )


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (((1, 0, 1e-3), (4, 0, 1e-3)), "batching pays up to 4 rows: 4.0x"),
        (
            ((1, 0, 1e-3),),
            "one request at a time for now: there was no time to measure more; "
            "give it a larger --profile-budget, or a quieter machine",
        ),
        (
            ((1, 0, 1e-3), (4, 0, 4e-3)),
            "batching does not pay for this model: one row costs the same in any batch",
        ),
    ],
)
def test_what_follows_is_said(samples: tuple[tuple[int, int, float], ...], words: str) -> None:
    assert curve(*samples).words() == words


def test_where_batching_is_ruled_out_only_the_time_is_said() -> None:
    unproven = curve((1, 0, 2e-3), proof=Proof(False, "not batched", 1.0))

    assert unproven.words() == "2,000 µs for one row"
    assert "chosen" not in "".join(unproven.picture())


def lengths() -> Curve:
    points = [(1, 8), (8, 8), (1, 128), (8, 128), (32, 8)]
    return curve(*((n, length, 1e-3 + 5e-5 * n * length) for n, length in sorted(points)))


def test_moving_lengths_are_a_table_and_a_formula() -> None:
    assert lengths().picture() == [
        "ms a run  length 8  length 128",
        "   1 row       1.4         7.4",
        "  8 rows       4.2        52.2",
        " 32 rows      13.8           -",
        "a run of n rows takes 1 + 0.05 n L ms, within 0%",
    ]


def test_moving_lengths_pay_differently() -> None:
    assert lengths().words() == (
        "batching pays at length 8 up to 23 rows: 3.2x, at length 128 up to 5 rows: 1.1x"
    )
    longest = curve((1, 8, 1.4e-3), (8, 8, 4.2e-3), (1, 512, 26.6e-3), (8, 512, 205.8e-3))
    assert longest.words() == (
        "batching pays at length 8 up to 8 rows: 2.7x; for longer rows it does not"
    )

"""What is shown of a model between two reports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cli.lately import Figures, figures, sentence, table
from serving.observe.report import Values
from serving.observe.totals import Totals


def totals(**counts: int) -> Totals:
    """So many answered, each in 4 ms and alone in its batch, and whatever else is counted."""
    made = Totals(**counts)
    made.runs = made.success
    made.sizes = {2: [made.success / 2, 0.0, 0.0, 0.0]}
    made.latency.add(0.004, made.success)
    return made


def model(
    name: str = "m", counted: Totals | None = None, version: str = "1", **now: float
) -> Values:
    return {
        "name": name,
        "version": version,
        "totals": counted.as_values() if counted else None,
        "gauges": {"ready": float(counted is not None), **now},
    }


def report(*models: Values) -> Values:
    return {"version": "0", "ready": 1.0, "models": list(models)}


def test_it_is_what_happened_since_and_nothing_before() -> None:
    before = totals(success=100, run_failed=5)
    after = totals(success=300, run_failed=15, refused={"too_late": 30, "internal": 2}, left=8)  # type: ignore[arg-type]

    (one,) = figures(report(model("m", after, queue_rows=7)), report(model("m", before)), 2.0)

    assert one == Figures(
        "m",
        ready=True,
        requests=(200 + 10 + 30 + 2 + 8) / 2,
        refused=15.0,
        failed=6.0,
        p50_s=pytest.approx(0.004, rel=0.3),
        p99_s=pytest.approx(0.005, rel=0.1),
        batch_rows=2.0,
        queue_rows=7,
    )


def test_who_ran_out_of_time_counts_as_refused() -> None:
    after = totals(refused={"deadline_exceeded": 3, "too_late": 1})  # type: ignore[arg-type]

    (one,) = figures(report(model("m", after)), report(model("m", totals())), 1.0)

    assert one.refused == 4.0


def test_a_model_that_was_loaded_anew_began_at_nothing() -> None:
    (one,) = figures(
        report(model("m", totals(success=4))), report(model("m", totals(success=100))), 2.0
    )

    assert one.requests == 2.0


def test_a_model_that_was_never_asked_has_no_latency() -> None:
    same = report(model("m", totals()))

    (one,) = figures(same, same, 1.0)

    assert one == Figures("m", ready=True)


def test_versions_are_named_only_where_there_are_several() -> None:
    now = report(model("a", totals()), model("b", totals()), model("b", totals(), version="2"))

    assert [one.name for one in figures(now, now, 1.0)] == ["a", "b 1", "b 2"]


def test_a_name_cannot_move_the_cursor() -> None:
    now = report(model("a\x1b[2Jb\n", totals()))

    (one,) = figures(now, now, 1.0)

    assert one.name.isprintable()


def test_a_table_for_people() -> None:
    busy = Figures("busy", True, 1234.4, 3.25, 0.0, 0.0021, 1.5, 14.25, 12)
    idle, gone = Figures("idle", True), Figures("gone", False)

    assert table([busy, idle, gone], "head", 24) == [
        "head",
        "model    req/s      p50      p99  batch  queue refused/s failed/s",
        "busy     1,234   2.1 ms   1.50 s   14.2     12       3.2        0",
        "idle         0        -        -      -      0         0        0",
        "gone   does not answer",
    ]


def test_where_there_is_little_room_the_busiest_are_shown_in_their_order() -> None:
    models = [Figures(f"m{n}", True, requests=float(n % 4)) for n in range(8)]

    lines = table(models, "head", 6)

    assert [line.split()[0] for line in lines] == ["head", "model", "m3", "m7", "and"]
    assert lines[-1] == "and 6 more"


@given(st.integers(0, 30), st.integers(4, 30))
def test_a_table_is_never_higher_than_the_terminal(models: int, height: int) -> None:
    assert len(table([Figures(f"m{n}", True) for n in range(models)], "head", height)) < height


def test_a_sentence_tells_of_those_that_were_asked() -> None:
    busy = Figures("busy", True, 20.0, 0.0, 0.0, 0.0021, 0.008, 1.0, 3)

    assert sentence([busy, Figures("idle", True), Figures("gone", False)], ready=False) == (
        "not ready; busy 20 requests/s, p50 2.1 ms, p99 8 ms, 1.0 rows a batch, 3 waiting, "
        "0 refused/s, 0 failed/s; gone does not answer"
    )
    assert sentence([Figures("idle", True)], ready=True) == "ready; no requests"

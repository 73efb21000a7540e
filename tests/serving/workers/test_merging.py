"""Many reports as one: nothing that was counted is ever less."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serving.observe.totals import Totals
from serving.workers.merging import Ledger


def report(success: int, *, queue_rows: int = 0, name: str = "m", ready: float = 1.0) -> Any:
    totals = Totals(success=success, runs=success, refused={"too_late": 1})
    return {
        "version": "1.2.3",
        "ready": ready,
        "models": [
            {
                "name": name,
                "version": "1",
                "totals": totals.as_values(),
                "gauges": {"ready": 1.0, "queue_rows": queue_rows},
            }
        ],
    }


def success(ledger: Ledger, *present: int) -> int:
    (model,) = ledger.report(present)["models"]
    count: int = model["totals"]["success"]
    return count


def test_counts_are_added_and_what_is_now_is_put_together() -> None:
    ledger = Ledger()
    ledger.add(0, report(10, queue_rows=3))
    ledger.add(1, report(5, queue_rows=4, ready=0.0))
    made = ledger.report([0, 1])
    (model,) = made["models"]
    assert model["totals"]["success"] == 15
    assert model["totals"]["refused"] == {"too_late": 2}
    assert model["gauges"]["queue_rows"] == 7
    assert made["ready"] == 0.0


def test_who_died_has_counted_and_waits_for_nothing() -> None:
    ledger = Ledger()
    ledger.add(0, report(10, queue_rows=3))
    ledger.add(1, report(5, queue_rows=4))
    ledger.died(1)
    (model,) = ledger.report([0])["models"]
    assert model["totals"]["success"] == 15
    assert model["gauges"]["queue_rows"] == 3
    ledger.add(1, report(1))
    assert success(ledger, 0, 1) == 16


def test_who_does_not_answer_has_counted_and_waits_for_nothing() -> None:
    ledger = Ledger()
    ledger.add(0, report(10, queue_rows=3))
    ledger.add(1, report(5, queue_rows=4, ready=0.0))
    made = ledger.report([0])
    assert made["models"][0]["totals"]["success"] == 15
    assert made["models"][0]["gauges"]["queue_rows"] == 3
    assert made["ready"] == 1.0


def test_a_model_that_nobody_has_any_more_is_not_reported() -> None:
    ledger = Ledger()
    ledger.add(0, report(10, name="old"))
    ledger.add(0, report(1, name="new"))
    assert [model["name"] for model in ledger.report([0])["models"]] == ["new"]
    ledger.add(0, report(2, name="old"))
    assert success(ledger, 0) == 12


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["counts", "dies", "loads anew", "silent"]))
    )
)
def test_whatever_becomes_of_workers_no_count_ever_falls(events: list[tuple[int, str]]) -> None:
    ledger, counts, seen = Ledger(), [1, 1, 1], 0
    for worker, event in events:
        if event == "counts":
            counts[worker] += 3
        elif event == "dies":
            ledger.died(worker)
            counts[worker] = 0
        elif event == "loads anew":
            counts[worker] = 0
        present = [one for one in range(3) if event != "silent" or one != worker]
        for one in present:
            ledger.add(one, report(counts[one]))
        now = success(ledger, *present)
        assert now >= seen
        seen = now

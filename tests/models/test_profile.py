"""What a batch costs is measured within a budget."""

import pytest

from models.profile import measure
from models.signature import Tensors


class Machine:
    """A model whose run takes so long and so much longer a row, on a clock of its own."""

    def __init__(self, run_s: float, row_s: float) -> None:
        self.now, self.run_s, self.row_s = 0.0, run_s, row_s

    def sample(self, rows: int) -> Tensors:
        return dict.fromkeys(map(str, range(rows)))  # type: ignore[return-value]

    def run(self, tensors: Tensors) -> None:
        self.now += self.run_s + self.row_s * len(tensors)

    def measure(self, budget_s: float, max_rows: int = 64) -> dict[int, float]:
        return measure(
            self.run,
            self.sample,
            max_rows=max_rows,
            budget_s=budget_s,
            clock=lambda: self.now,
        )


def test_the_cost_of_every_size_that_is_allowed_is_measured() -> None:
    measured = Machine(run_s=0.001, row_s=0.0005).measure(budget_s=10, max_rows=16)

    assert max(measured) == 16
    for rows, run_s in measured.items():
        assert run_s == pytest.approx(0.001 + 0.0005 * rows)


def test_a_slow_model_is_measured_for_one_row_at_least_and_no_longer_than_needed() -> None:
    machine = Machine(run_s=60, row_s=0)

    measured = machine.measure(budget_s=1)

    assert measured == {1: 60}
    assert machine.now == 120  # once to warm up, once to measure


def test_what_the_model_raises_comes_out() -> None:
    def fails(_: Tensors) -> None:
        raise ValueError("no such index")

    with pytest.raises(ValueError, match="no such index"):
        measure(fails, Machine(1, 1).sample)

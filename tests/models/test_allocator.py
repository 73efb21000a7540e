"""That memory goes back with a model is seen in tests/integration/test_reload.py."""

import pytest

from models import allocator


def test_it_goes_on_where_the_c_library_knows_nothing_of_it(monkeypatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: object())

    with allocator.weights_apart():
        allocator.give_back_memory()


def test_weights_lie_apart_until_the_last_of_several_loads_has_ended(monkeypatch) -> None:
    told: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, what: int, value: int) -> None:
            told.append((what, value))

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: Library())
    with allocator.weights_apart(), pytest.raises(ValueError), allocator.weights_apart():
        raise ValueError

    assert [value for what, value in told if what == -3] == [131072, 131072, 131072, 32 << 20]

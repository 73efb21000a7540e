import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import Draining, QueueFull, TooLate, TooManyRows
from batching.admission import Admission


def test_rows_may_wait_up_to_the_limit():
    """Lesson 13; and 17: it says which limit, its value, and when to come back."""
    admission = Admission(max_rows=4)

    admission.check_room(1, waiting=3)

    with pytest.raises(QueueFull, match="3 of 4 rows wait, 2 more came") as refused:
        admission.check_room(2, waiting=3, row_s=0.5)
    assert refused.value.retry_after_s == 0.5


def test_a_request_that_never_fits_is_told_so_and_not_to_come_again():
    """Lesson 10."""
    with pytest.raises(TooManyRows, match="at most 4 rows, this one has 5"):
        Admission(max_rows=4).check_room(5, waiting=0)


def test_whoever_drains_takes_nobody():
    with pytest.raises(Draining):
        Admission(max_rows=4, draining=True).check_room(1, waiting=0)


def test_only_who_would_be_late_is_refused():
    """Lesson 14."""
    admission = Admission(max_rows=4)

    admission.check_time(answer_s=0.099, allowed_s=0.1)

    with pytest.raises(TooLate, match="would take 130 ms, but only 100 ms") as refused:
        admission.check_time(answer_s=0.13, allowed_s=0.1)
    assert refused.value.retry_after_s == pytest.approx(0.03)


def test_the_margin_is_kept_back():
    admission = Admission(max_rows=4, margin_s=0.02)

    with pytest.raises(TooLate):
        admission.check_time(answer_s=0.09, allowed_s=0.1)


@given(st.lists(st.floats(-0.05, 0.05), min_size=200, max_size=400))
def test_the_margin_grows_with_lateness_and_is_never_negative(errors_s):
    admission = Admission(max_rows=4)
    for late_s in errors_s:
        admission.learn(late_s)
        assert 0 <= admission.margin_s <= 0.05


def test_the_margin_covers_nearly_all_that_comes_late():
    admission = Admission(max_rows=4)
    pattern = [-0.01] * 9 + [0.02]
    for _ in range(300):
        for late_s in pattern:
            admission.learn(late_s)

    assert admission.margin_s > 0.01


def test_room_for_nobody_makes_no_sense():
    with pytest.raises(ValueError, match="max_rows"):
        Admission(max_rows=0)

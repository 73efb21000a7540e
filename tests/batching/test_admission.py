import pytest

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

    admission.check_time(needed_s=0.099, allowed_s=0.1)

    with pytest.raises(TooLate, match="would take 130 ms, but only 100 ms") as refused:
        admission.check_time(needed_s=0.13, allowed_s=0.1)
    assert refused.value.retry_after_s == pytest.approx(0.03)


def test_slow_turns_of_the_event_loop_need_more_time():
    admission = Admission(max_rows=4)
    before_s = admission.needed_s(0.05)
    for _ in range(50):
        admission.observe_turn(0.01)

    assert before_s == pytest.approx(0.055)
    assert admission.needed_s(0.05) == pytest.approx(1.1 * 0.08, rel=0.01)


def test_room_for_nobody_makes_no_sense():
    with pytest.raises(ValueError, match="max_rows"):
        Admission(max_rows=0)

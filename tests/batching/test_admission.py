import pytest

from batching import Draining, QueueFull, TooManyRows
from batching.admission import Admission


def test_rows_may_wait_up_to_the_limit():
    admission = Admission(max_rows=4)

    admission.check(1, waiting=3)

    with pytest.raises(QueueFull) as refused:
        admission.check(2, waiting=3)
    assert (refused.value.rows, refused.value.waiting, refused.value.limit) == (2, 3, 4)


def test_a_request_that_never_fits_is_told_so_and_not_to_come_again():
    """Lesson 10."""
    with pytest.raises(TooManyRows, match="at most 4 rows, this one has 5"):
        Admission(max_rows=4).check(5, waiting=0)


def test_whoever_drains_takes_nobody():
    with pytest.raises(Draining):
        Admission(max_rows=4, draining=True).check(1, waiting=0)


def test_room_for_nobody_makes_no_sense():
    with pytest.raises(ValueError, match="max_rows"):
        Admission(max_rows=0)

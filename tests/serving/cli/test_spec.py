"""Values and the shapes in which a model takes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.cli.errors import Mistake
from serving.cli.spec import Spec, fitted
from tests.support.wire import patient


@pytest.mark.parametrize(
    ("shape", "given", "sent"),
    [
        ((-1, 4), (4,), (1, 4)),
        ((-1, 4), (8,), (2, 4)),
        ((-1, 4), (3, 4), (3, 4)),
        ((-1, 4), (2, 2), (1, 4)),
        ((-1, 4), (3, 2, 2), (3, 4)),
        ((-1,), (3,), (3,)),
        ((-1, 1), (3,), (3, 1)),
        ((-1, -1), (3,), (1, 3)),
        ((-1, -1), (2, 3), (2, 3)),
        ((-1, 2, -1), (6,), (1, 2, 3)),
        ((-1, 3, -1, -1), (3, 5, 5), (1, 3, 5, 5)),
        ((2, 2), (4,), (2, 2)),
        ((2, -1), (6,), (2, 3)),
        ((), (1,), ()),
        ((-1, 4), (0, 4), (0, 4)),
    ],
)
def test_values_find_their_shape(
    shape: tuple[int, ...], given: tuple[int, ...], sent: tuple[int, ...]
) -> None:
    assert fitted(Spec("x", "FP32", shape), given) == sent


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        ((-1, 4), (8, 2)),  # 4 rows, each made of two: hardly what was meant
        ((-1, 4), (0,)),
        ((-1, 0), (3,)),
        ((0, -1), (3,)),
        ((-1, 2, -1), (5,)),
        ((-1, -1, -1), (6,)),
        ((2, 2), (8,)),
        ((), (2,)),
    ],
)
def test_values_that_have_no_shape(shape: tuple[int, ...], given: tuple[int, ...]) -> None:
    with pytest.raises(Mistake, match="'x' takes"):
        fitted(Spec("x", "FP32", shape), given)


SIZES = st.integers(0, 5)


@patient
@given(st.lists(SIZES | st.just(-1), max_size=4), st.lists(SIZES, min_size=1, max_size=4))
def test_what_is_sent_fits_the_model_and_holds_what_was_given(
    shape: list[int], given: list[int]
) -> None:
    try:
        sent = fitted(Spec("x", "FP32", tuple(shape)), tuple(given))
    except Mistake:
        return
    assert np.prod(sent) == np.prod(given)
    assert len(sent) == len(shape)
    assert all(want in (-1, size) for size, want in zip(sent, shape, strict=True))

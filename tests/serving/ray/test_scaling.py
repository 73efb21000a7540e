"""How many replicas there should be. Arithmetic: no Ray, and no clock but our own."""

from types import SimpleNamespace

import pytest

from serving.ray.scaling import BUSY, BUSY_TARGET, WAIT, WAIT_TARGET, Load, desired, policy


@pytest.mark.parametrize(
    ("replicas", "waits", "busies", "wanted"),
    [
        (2, [0.0, 0.0], [0.0, 0.0], 0),  # nobody asks
        (2, [0.6, 0.6], [0.2, 0.2], 4),  # twice the wait that is allowed
        (2, [0.0, 1.2], [0.2, 0.2], 4),  # of one of them, so it is the average that counts
        (4, [0.0] * 4, [0.4] * 4, 2),  # half as busy as they may be
        (2, [0.01, 0.01], [0.8, 0.8], 2),  # just right
        (2, [0.01, 0.01], [0.86, 0.86], 2),  # so near that a third would be one too many
        (3, [0.3], [], 3),  # two have only just started
    ],
)
def test_the_larger_of_wait_and_work_decides(replicas, waits, busies, wanted):
    assert desired(replicas, waits, busies) == pytest.approx(wanted)


def test_refusals_are_a_wait_beyond_what_is_promised():
    """Who is turned away is promised time and needs more: that is more than three times 0.3."""
    assert desired(1, [1.1], [0.5]) > 1 / WAIT_TARGET


def context(metrics, *, current=2, target=3):
    return SimpleNamespace(
        aggregated_metrics=metrics, current_num_replicas=current, target_num_replicas=target
    )


def test_where_nothing_is_known_nothing_changes():
    assert policy(context(None)) == (3, {})
    assert policy(context({WAIT: {}, BUSY: {}})) == (3, {})
    assert policy(context({WAIT: {"a": 9.0}}, current=0)) == (3, {})


def test_the_policy_asks_all_replicas():
    said = {WAIT: {"a": 0.0, "b": 0.0}, BUSY: {"a": BUSY_TARGET, "b": 2 * BUSY_TARGET}}

    assert policy(context(said))[0] == pytest.approx(3)


def test_a_replica_says_what_its_worst_model_does_and_how_busy_it_was_since():
    now = used = 0.0
    load = Load(2, clock=lambda: now, used=lambda: used)
    now, used = 10.0, 5.0

    said = load.stats([0.1, 0.4])
    assert said == {WAIT: 0.4, BUSY: pytest.approx(0.25)}

    now, used = 11.0, 7.0
    assert load.stats([]) == {WAIT: 0.0, BUSY: pytest.approx(1.0)}

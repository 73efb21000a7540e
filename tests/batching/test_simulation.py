"""The scheduler as a whole, in virtual time: traffic of many kinds, and what became of it.

Bounds are what it does, with room for a better or another scheduler to do as well.
"""

import random
from math import inf

import pytest

from batching import CostModel, Sample
from batching.plan import Cheapest
from models.profile import Measured, Point, grid, measure, samples_of
from tests.support.batches import ticket
from tests.support.simulation import (
    Caller,
    Cost,
    Model,
    bursts,
    natural_length,
    poisson,
    simulate,
    steps,
)

# A full batch of 64 takes 11 ms with the event loop's part: the SLO of 100 ms is nine of them.
FIXED = Cost(batch_s=1e-3, row_s=1e-4)
CAPACITY = FIXED.capacity()
# The same on two cores, a batch over both of them.
HALF = Cost(batch_s=5e-4, row_s=5e-5)
# Batching does not pay: a row costs as much in company as alone.
NO_GAIN = Cost(batch_s=0.0, row_s=4e-3)
# A sentence encoder: 4.7 ms alone for a sentence of natural length, most of it by the token.
TEXT = Cost(batch_s=1.5e-3, row_s=3e-4, token_s=9e-5, token2_s=2e-7)


def fixed(believed=1.0, **options):
    """A model of fixed shape that was measured so many times slower than it is."""
    return Model(cost=FIXED, believed=FIXED.measured(believed), noise=0.05, **options)


def text(**options):
    return Model(cost=TEXT, believed=TEXT.measured(), noise=0.05, **options)


def offered(load, seconds=2.0, seed=1, **how):
    """Callers at so many times the capacity of FIXED."""
    return [Caller(at=at, **how) for at in poisson(random.Random(seed), load * CAPACITY, seconds)]


# --- how much, under which load


@pytest.mark.parametrize("load", [0.8, 1.5, 2.0, 3.0])
def test_goodput_stays_where_it_is_however_many_come(load):
    """Lesson 13: at least 0.95 of the ideal up to three times the capacity, nobody late."""
    outcomes = simulate(fixed(), offered(load))

    assert outcomes.goodput >= 0.95 * min(load, 1.0) * CAPACITY
    assert outcomes.count("late") <= 0.001 * len(outcomes.all)
    assert outcomes.count("wasted") <= 0.001 * len(outcomes.all)
    assert outcomes.unanswered == 0


def test_below_capacity_nobody_is_refused():
    """Lesson 14."""
    outcomes = simulate(fixed(), offered(0.8))

    assert outcomes.count("answered") == len(outcomes.all)


@pytest.mark.parametrize("believed", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("load", [0.7, 2.0])
def test_a_profile_that_is_wrong_is_corrected(believed, load):
    """Measured on a machine up to four times slower, or twice as fast."""
    outcomes = simulate(fixed(believed), offered(load))
    later = outcomes.of(lambda caller: caller.at > 1.0)

    assert later.goodput >= 0.9 * min(load, 1.0) * CAPACITY
    assert later.share("late") <= 0.01
    assert outcomes.unanswered == 0


def test_of_callers_who_come_in_bursts_all_are_answered_whom_there_is_time_for():
    on_s, off_s, times, slo_s = 0.2, 0.3, 5, 0.1
    come = bursts(random.Random(3), 2 * CAPACITY, on_s=on_s, off_s=off_s, times=times)

    outcomes = simulate(fixed(), [Caller(at=at, slo_s=slo_s) for at in come])

    ideal = times * (on_s + slo_s) * CAPACITY
    assert 0.9 * ideal <= outcomes.count("answered") <= ideal
    assert outcomes.count("late") <= 0.001 * len(outcomes.all)
    assert outcomes.unanswered == 0


def test_over_a_day_only_the_peak_is_refused():
    rates = [load * CAPACITY for load in (0.2, 0.6, 1.5, 0.6, 0.2)]

    outcomes = simulate(fixed(), [Caller(at=at) for at in steps(random.Random(4), rates, 1.0)])

    calm = outcomes.of(lambda caller: caller.at < 2.0 or caller.at > 3.2)
    assert calm.share("answered") == 1
    peak = outcomes.of(lambda caller: 2.0 <= caller.at < 3.0)
    assert peak.count("answered") >= 0.9 * CAPACITY
    assert outcomes.share("late") <= 0.001
    assert outcomes.unanswered == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75])
def test_nobody_is_refused_of_a_burst_that_fits_in_its_deadline(share):
    """Lesson 14: up to three quarters of what an oracle would fit in, none is refused."""
    burst = [Caller(at=1.0)] * int(share * CAPACITY * 0.1)

    outcomes = simulate(fixed(), burst)

    assert outcomes.count("answered") == len(burst)


def test_of_a_burst_that_does_not_fit_the_part_is_answered_that_does():
    """Lesson 14: who is refused could not have been in time, but for a fifth of them."""
    fits = int(CAPACITY * 0.1)

    outcomes = simulate(fixed(), [Caller(at=1.0)] * 2 * fits)

    assert outcomes.count("answered") >= 0.8 * fits
    assert outcomes.count("answered") + outcomes.count("refused") == 2 * fits
    assert all(one.waited_s == 0 for one in outcomes.all if one.refused)


# --- when the machine changes


def test_goodput_does_not_collapse_where_a_batch_is_most_of_the_time_allowed():
    """A full batch takes 37 ms of the 100, then 75; what is left is batches of half the rows."""
    slow = Cost(batch_s=5e-3, row_s=5e-4)
    model = Model(
        cost=slow,
        believed=slow.measured(),
        noise=0.05,
        slowdown=lambda now: 2.0 if now > 2.0 else 1.0,
    )
    come = poisson(random.Random(2), 0.8 * slow.capacity(), 4.0)

    outcomes = simulate(model, [Caller(at=at) for at in come])
    after = outcomes.of(lambda caller: caller.at > 2.0)

    assert after.goodput >= 0.35 * slow.capacity(), after


@pytest.mark.parametrize("load", [0.4, 1.5])
def test_a_machine_that_becomes_half_as_fast_is_followed_within_50_batches(load):
    slower_at = 1.0
    model = fixed(slowdown=lambda now: 2.0 if now > slower_at else 1.0)

    outcomes = simulate(model, offered(load, seconds=3.0))

    slow = [run.at - outcomes.began for run in outcomes.runs if run.at - outcomes.began > slower_at]
    known_at = slow[50]
    later = outcomes.of(lambda caller: caller.at > known_at)
    half = 64 / (2 * FIXED.run_s(64) + FIXED.cycle_s(64) - FIXED.run_s(64))
    assert later.goodput >= 0.9 * min(load * CAPACITY, half)
    assert later.share("late") <= 0.01
    assert outcomes.share("late") <= 0.03  # those who were let in before it was known
    assert outcomes.unanswered == 0


def test_whose_time_runs_out_in_the_queue_is_told_so_by_then_and_never_run():
    """Lesson 15: the machine stands still for a while with a full queue before it."""
    model = fixed(slowdown=lambda now: 100.0 if 0.5 < now < 0.51 else 1.0)

    outcomes = simulate(model, offered(0.8, seconds=1.0))

    expired = [one for one in outcomes.all if one.expired and not one.ran]
    assert len(expired) > 100
    for one in expired:
        # Told when it could not be in time any more even alone, a run before its deadline.
        assert one.caller.slo_s - 2e-3 <= one.waited_s <= one.caller.slo_s
    assert outcomes.unanswered == 0


# --- lengths


def test_natural_lengths_ride_by_their_cost():
    """Lesson 9: 1.25 times the rate of one by one, and 3.5 times first-come batches of 32."""
    rng = random.Random(5)
    sentences = [Caller(at=0.0, slo_s=inf, length=natural_length(rng)) for _ in range(512)]

    def rate(believed, max_rows):
        model = Model(cost=TEXT, believed=believed, max_rows=max_rows)
        return 512 / simulate(model, sentences).busy_s

    by_cost = rate(TEXT.measured(), 64)

    assert by_cost >= 1.25 * rate(None, 1)
    assert by_cost >= 3.5 * rate(None, 32)


@pytest.mark.parametrize("load", [0.6, 0.85])
def test_long_ones_do_not_starve_among_many_short_ones(load):
    rng = random.Random(7)
    short_rate = load * 32 / TEXT.cycle_s(32, 12)
    short = [
        Caller(at=at, slo_s=0.5, length=rng.randint(8, 16)) for at in poisson(rng, short_rate, 6)
    ]
    long = [Caller(at=at, slo_s=0.5, length=250) for at in poisson(rng, 3, 6)]

    outcomes = simulate(text(), short + long)

    assert len(long) > 10
    assert outcomes.count("answered") == len(outcomes.all)


@pytest.mark.parametrize("load", [0.8, 2.0, 3.0])
def test_moving_lengths_keep_their_goodput_too(load):
    """Against the rate of one by one, which batching is to beat; most of who is let in is served.

    Of lengths that move it cannot be known who will ride before whom: of twice what can
    be done, up to a fifth is told in the queue that its time ran out.
    """
    rng = random.Random(6)
    one_by_one = 210
    come = poisson(rng, load * one_by_one, 8)

    outcomes = simulate(
        text(), [Caller(at=at, slo_s=0.5, length=natural_length(rng)) for at in come]
    )

    assert outcomes.goodput >= 0.95 * min(load, 1.2) * one_by_one
    assert outcomes.share("expired") <= 0.2
    assert outcomes.share("wasted") <= 0.04
    assert outcomes.unanswered == 0


# --- who goes first


@pytest.mark.parametrize("load", [1.5, 3.0])
def test_with_priorities_too_no_work_is_done_late(load):
    """Lesson 15."""
    rng = random.Random(8)
    callers = [
        Caller(at=at, priority=rng.choice([1, 5, 5, 5, 5, 9]))
        for at in poisson(rng, load * CAPACITY, 2)
    ]

    outcomes = simulate(fixed(), callers)

    assert outcomes.share("wasted") <= 0.01, outcomes
    assert outcomes.goodput >= 0.9 * CAPACITY


@pytest.mark.parametrize("load", [1.5, 3.0])
def test_urgent_ones_pass_however_many_others_come(load):
    rng = random.Random(8)
    callers = [
        Caller(at=at, priority=rng.choice([1, 5, 5, 5, 5, 9]))
        for at in poisson(rng, load * CAPACITY, 2)
    ]

    outcomes = simulate(fixed(), callers)
    urgent = outcomes.of(lambda caller: caller.priority == 1)

    assert urgent.share("answered") == 1
    # Behind what runs when they come, and in the next batch or the one after.
    assert max(one.waited_s for one in urgent.all) < 3 * FIXED.cycle_s(64)
    assert outcomes.unanswered == 0


@pytest.mark.parametrize("load", [0.9, 1.5, 3.0])
def test_who_has_little_time_left_is_served_first_or_refused_at_once(load):
    """One caller with 20 ms, others with 2 s and a queue that is full of them."""
    patient = offered(load, seconds=3.0, slo_s=2.0)
    tight = [Caller(at=at, slo_s=0.02) for at in poisson(random.Random(9), 100, 3.0)]
    exact = Model(cost=FIXED, believed=FIXED.measured(), max_queue_rows=20_000)

    outcomes = simulate(exact, patient + tight)
    hurried = outcomes.of(lambda caller: caller.slo_s == 0.02)

    assert hurried.count("late") == hurried.count("expired") == 0
    assert all(one.waited_s == 0 for one in hurried.all if one.refused)
    assert hurried.share("answered") >= 0.9
    assert outcomes.of(lambda caller: caller.slo_s == 2.0).count("late") == 0


# --- many models


@pytest.mark.parametrize(
    ("slots", "threads", "cost", "share", "in_time"),
    [
        (2, 1, FIXED, 0.05, 0.99),
        (1, 2, HALF, 0.05, 0.99),
        (1, 2, HALF, 0.1, 0.99),
        # Small batches for nine models at nine tenths of the machine: there is no more.
        (2, 1, FIXED, 0.1, 0.98),
    ],
)
def test_a_model_in_overload_refuses_its_own_callers_and_no_others(
    slots, threads, cost, share, in_time
):
    """Ten models on two cores, as they are profiled on two: slots times threads is two."""
    machine = slots * cost.capacity()
    rng = random.Random(10)
    callers = [
        Caller(at=at, model=model)
        for model, load in enumerate([share] * 9 + [3.0])
        for at in poisson(rng, load * machine, 2.0)
    ]
    models = [
        Model(cost=cost, believed=cost.measured(), noise=0.05, slots=slots, threads=threads)
        for _ in range(10)
    ]

    outcomes = simulate(models, callers, cores=2)
    nine = outcomes.of(lambda caller: caller.model < 9)
    tenth = outcomes.of(lambda caller: caller.model == 9)

    assert nine.share("answered") >= in_time, nine
    assert tenth.goodput >= (0.3 if share < 0.1 else 0.05) * machine


def test_who_waits_for_others_fills_its_batches_meanwhile():
    """A machine on which ten models at once run slower than each was measured alone.

    While one has the cores the others' queues grow, and so must their batches: taken for a
    part of what a batch costs, the wait left time for one row only, and so for nobody else's.
    """
    measured, real = Cost(batch_s=3.3e-3, row_s=1e-3), Cost(batch_s=4.6e-3, row_s=1.4e-3)
    rng = random.Random(10)
    callers = [
        Caller(at=at, model=model, slo_s=0.2)
        for model, rate in enumerate([60.0] * 9 + [2000.0])
        for at in poisson(rng, rate, 3.0)
    ]
    models = [Model(cost=real, believed=measured.measured(), noise=0.3, slots=2) for _ in range(10)]

    outcomes = simulate(models, callers, cores=2)
    nine = outcomes.of(lambda caller: caller.model < 9)
    tenth = outcomes.of(lambda caller: caller.model == 9)

    assert nine.share("answered") >= 0.999, nine
    assert tenth.goodput >= 300
    assert tenth.share("expired") <= 0.1


def test_a_model_in_overload_that_fills_one_core_refuses_its_own_callers_and_no_others():
    """Ten models on two cores: nine at a tenth of what a core can do, one at three times that.

    Each runs one batch at a time on one thread, so the tenth can hold one core at most.
    """
    rng = random.Random(10)
    callers = [
        Caller(at=at, model=model)
        for model, load in enumerate([0.1] * 9 + [3.0])
        for at in poisson(rng, load * CAPACITY, 2.0)
    ]

    outcomes = simulate([fixed() for _ in range(10)], callers, cores=2)
    nine = outcomes.of(lambda caller: caller.model < 9)
    tenth = outcomes.of(lambda caller: caller.model == 9)

    assert nine.share("answered") >= 0.99
    assert nine.share("late") == 0
    assert tenth.goodput >= 0.7 * CAPACITY
    assert tenth.share("late") <= 0.001
    assert outcomes.unanswered == 0


# --- the curve


@pytest.mark.parametrize(("cost", "least", "most"), [(FIXED, 32, 64), (NO_GAIN, 1, 1)])
def test_from_measurement_to_plan_the_curve_is_followed(cost, least, most):
    """Lesson 11: what was measured says how many ride, and for some models that is one."""
    now = 0.0

    def trial(point: Point):
        def run() -> None:
            nonlocal now
            now += cost.run_s(*point)

        return run

    measured: Measured = measure(trial, grid((0,), 64), budget_s=2.0, clock=lambda: now)
    plan = Cheapest(CostModel(Sample(*sample) for sample in samples_of(measured)), 64)

    assert least <= len(plan.riders([ticket() for _ in range(64)], 0.0)) <= most


def test_more_callers_do_not_make_it_slower_where_batching_does_not_pay():
    """Lesson 11: no worse than one row a batch, at any load."""
    for load in (0.5, 0.9, 2.0):
        come = list(poisson(random.Random(11), load * NO_GAIN.capacity(), 10))
        callers = [Caller(at=at, slo_s=0.2) for at in come]
        waits = []
        for max_rows in (64, 1):
            model = Model(cost=NO_GAIN, believed=NO_GAIN.measured(), max_rows=max_rows)
            waited = sorted(o.waited_s for o in simulate(model, callers).all if o.answered)
            waits.append(waited[int(0.99 * len(waited))])
        assert waits[0] <= waits[1] + 1e-9


# --- what is left behind


def test_nothing_outlives_its_request():
    """Lesson 18: after thousands of requests, answered or refused, not one timer is left."""
    outcomes = simulate(fixed(), offered(2.0, seconds=0.5, slo_s=60.0))

    assert len(outcomes.all) > 5000
    assert outcomes.timers_left == 0


def test_a_simulation_has_the_same_outcome_each_time():
    first, again = (simulate(fixed(), offered(1.2, seconds=0.5)) for _ in range(2))

    assert [one.waited_s for one in first.all] == [one.waited_s for one in again.all]

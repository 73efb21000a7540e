from batching import Batch, RunFailed
from batching.parts import divided, rows_apart
from tests.support.batches import ticket


def cut(payload, max_rows):
    return [
        (payload[start : start + max_rows], len(payload[start : start + max_rows]))
        for start in range(0, len(payload), max_rows)
    ]


def join(parts):
    return "".join(parts)


def parts_of(whole, max_rows=2):
    return divided(whole, max_rows, cut, join)


def test_parts_carry_what_the_whole_carries():
    whole = ticket("abcde", rows=5, key="k", priority=3, arrived=1.0, deadline=9.0)

    parts = parts_of(whole)

    assert [(part.payload, part.rows) for part in parts] == [("ab", 2), ("cd", 2), ("e", 1)]
    for part in parts:
        assert (part.key, part.priority, part.arrived, part.deadline) == ("k", 3, 1.0, 9.0)


def test_the_whole_is_answered_with_the_last_part_in_order():
    """Lesson 8."""
    whole = ticket("abcde", rows=5)
    first, second, third = parts_of(whole)

    third.answer("E")
    first.answer("AB")
    assert not whole.reply.done()
    second.batch = Batch(rows=2, cut_at=1.0)
    second.answer("CD")

    assert whole.reply.result == "ABCDE"
    assert whole.batch is second.batch


def test_the_first_failure_answers_for_all_and_the_rest_count_as_gone():
    whole = ticket("abcd", rows=4)
    first, second = parts_of(whole)

    first.fail(RunFailed("no"))
    second.answer("CD")

    assert isinstance(whole.reply.error, RunFailed)
    assert whole.reply.answered == 1
    assert second.reply.done()


def test_parts_of_a_caller_who_has_gone_count_as_gone():
    whole = ticket("abcd", rows=4)
    parts = parts_of(whole)

    whole.reply.gone = True

    assert all(part.reply.done() for part in parts)


def test_parts_that_do_not_fit_together_fail_their_own_caller_only():
    whole = ticket("ab", rows=2)
    (part,) = divided(whole, 2, cut, lambda parts: 1 / 0)

    part.answer("AB")

    assert isinstance(whole.reply.error, RunFailed)


# --- rows of their own lengths


def test_rows_apart_have_their_own_lengths_and_costs_and_are_answered_in_order():
    whole = ticket("abc", rows=3, length=9, key="k", priority=3, arrived=1.0, deadline=9.0)

    parts = rows_apart(
        whole, [2, 9, 4], lambda payload, _: list(payload), join, lambda n: (n / 10, n / 100)
    )

    assert [(part.payload, part.rows, part.length) for part in parts] == [
        ("a", 1, 2),
        ("b", 1, 9),
        ("c", 1, 4),
    ]
    assert [(part.alone_s, part.work_s) for part in parts] == [
        (0.2, 0.02),
        (0.9, 0.09),
        (0.4, 0.04),
    ]
    for part in parts:
        assert (part.key, part.priority, part.arrived, part.deadline) == ("k", 3, 1.0, 9.0)
    for part in reversed(parts):
        part.answer(part.payload.upper())
    assert whole.reply.result == "ABC"


def apart(whole, lengths, slots=1):
    return rows_apart(
        whole, lengths, lambda payload, _: list(payload), join, lambda n: (n, n / 2), slots=slots
    )


def test_a_part_leaves_time_for_all_that_are_missing():
    """Or the whole would be run in vain: its last part is what its caller waits for."""
    whole = ticket("abcd", rows=4, deadline=100.0)
    parts = apart(whole, [8, 8, 8, 20], slots=2)

    # 4 + 4 + 4 + 10 in well-filled batches, two at one time; the longest alone takes 20.
    assert [part.latest_start for part in parts] == [89.0, 89.0, 89.0, 80.0]
    parts[0].answer("A")
    parts[3].answer("D")
    assert [part.latest_start for part in parts[1:3]] == [92.0, 92.0]


def test_the_whole_tells_of_all_batches_that_it_rode_in():
    whole = ticket("abc", rows=3)
    parts = apart(whole, [2, 2, 6])
    short = Batch(rows=4, length=2, cut_at=1.0, ended_at=2.0, run_s=0.5, work=8)
    long = Batch(rows=2, length=6, cut_at=3.0, ended_at=5.0, run_s=1.5, work=9)
    for part, batch in zip(parts, (short, short, long), strict=True):
        part.batch = batch
        part.answer(part.payload)

    together = whole.batch
    assert (together.rows, together.cut_at, together.ended_at) == (4, 1.0, 5.0)
    assert together.run_s == 2.0
    assert 0.1 < together.padding < 0.2  # 3 of 20

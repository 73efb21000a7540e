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

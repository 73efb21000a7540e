"""What requests have in common is learned once for each model."""

import json
from typing import Any

import pytest

from models import Checked
from serving.familiar import MAX_FAMILIAR, Familiars
from serving.protocol import decode

HEAD = "a head"


def familiars() -> Familiars:
    return Familiars(lambda inputs: Checked(len(inputs["x"]), "key"), lambda priority: priority)


def learned(of: Familiars, *, rows: int = 1, timeout_s: float | None = None, **more: Any) -> None:
    tensor = {"name": "x", "shape": [rows, 2], "datatype": "FP32", "data": [1.5, 2.5] * rows}
    body = json.dumps({"inputs": [tensor], **more}).encode()
    of.learn(HEAD, body, None, decode(body, None), timeout_s, lambda rows: 10.0 * rows)


@pytest.mark.parametrize(
    ("request_", "timeout_s", "priority", "says_more"),
    [
        ({}, 10.0, 0, False),
        ({"timeout_s": 2.0}, 2.0, 0, False),
        ({"parameters": {"timeout": 500_000}}, 0.5, 0, True),
        ({"parameters": {"timeout": 500_000}, "timeout_s": 2.0}, 0.5, 0, True),
        ({"parameters": {"priority": 3}}, 10.0, 3, True),
        ({"rows": 4}, 40.0, 0, True),
    ],
)
def test_what_is_learned_is_what_all_of_them_say(request_, timeout_s, priority, says_more):
    of = familiars()
    learned(of, **request_)

    familiar = of[HEAD]
    assert familiar.alike.timeout_s == timeout_s
    assert familiar.alike.priority == priority
    assert familiar.alike.rows == request_.get("rows", 1)
    assert familiar.alike.key == "key"
    assert familiar.says_more is says_more


def test_who_never_repeats_anything_is_looked_at_eight_times():
    of = familiars()

    assert [of.another_lesson(HEAD) for _ in range(10)] == [True] * 8 + [False] * 2
    assert of.another_lesson("another")


def test_a_new_version_of_a_model_learns_anew():
    first, second = familiars(), familiars()
    while first.another_lesson(HEAD):
        pass

    assert second.another_lesson(HEAD)


def test_what_is_known_of_heads_is_bounded():
    of = familiars()
    for number in range(3 * MAX_FAMILIAR):
        assert of.another_lesson(number)

    assert len(of._lessons) <= MAX_FAMILIAR

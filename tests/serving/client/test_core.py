"""A call from its question to its answer, on a clock that is a number: no socket, no waiting."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client import (
    DeadlineExceeded,
    InvalidRequest,
    JitneyError,
    ModelNotFound,
    Overloaded,
    ServerFailed,
    Unavailable,
)
from serving.client.core import GRACE_S, PATIENCE_S, REFRESH_S, Core, Options
from serving.client.effects import Ask, Flow, NoReply, Pause
from serving.client.http import Reply
from serving.client.wire import Question
from serving.protocol import InferRequest, encode

QUESTION = Question("m", {"x": [1.0]})
METADATA = {
    "name": "m",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
    "outputs": [],
}
ANSWER = encode("m", "1", InferRequest({}, binary_outputs=True), {"y": np.array([2.0], "f4")})

LOST = NoReply("hung up")
CUT_OFF = NoReply("hung up", began=True)
STALE = NoReply("hung up", reused=True)
LATE = NoReply("time is over", late=True)


def reply(status: int, body: bytes = b'{"error": "no"}', **headers: str) -> Reply:
    lines = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    return Reply(status, lines, body, True)


def metadata(**other: Any) -> Reply:
    return reply(200, orjson.dumps({**METADATA, **other}))


ANSWERED = reply(200, ANSWER.body, inference_header_content_length=str(ANSWER.json_length))


@dataclass
class World:
    """A clock, and what a server answers to which request, in the order of the script."""

    script: list[Reply | NoReply] = field(default_factory=list)
    takes_s: float = 0.0
    now: float = 1000.0
    describes: Callable[[], Reply | NoReply] = metadata
    asked: list[tuple[float, Ask]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    learned: int = 0

    def core(self, **options: Any) -> Core:
        options = {"url": "http://server", **options}
        return Core(
            Options(**options),
            clock=lambda: self.now,
            wall_clock=lambda: 0.0,
            uniform=lambda: 0.5,
        )

    def run(self, flow: Flow[Any]) -> Any:
        result: Reply | NoReply | None = None
        try:
            wanted = next(flow)
            while True:
                if isinstance(wanted, Pause):
                    self.pauses.append(wanted.delay_s)
                    self.now += wanted.delay_s
                    result = None
                elif wanted.line.startswith(b"GET") and b"/ready" not in wanted.line:
                    self.learned += 1
                    result = self.describes()
                else:
                    self.asked.append((self.now, wanted))
                    result = self.script.pop(0)
                    self.now += self.takes_s
                wanted = flow.send(result)
        except StopIteration as end:
            return end.value


def test_a_model_is_asked_what_it_takes_once():
    world = World([ANSWERED, ANSWERED])
    core = world.core()

    for _ in range(2):
        answer = world.run(core.infer(QUESTION, None))
        assert answer["y"].tolist() == [2.0]
        assert answer.attempts == 1

    assert world.learned == 1
    assert [ask.line for _, ask in world.asked] == [b"POST /v2/models/m/infer HTTP/1.1\r\n"] * 2


@pytest.mark.parametrize(
    ("model", "version", "path"),
    [
        ("m", 3, b"/base/v2/models/m/versions/3/infer"),
        ("a/b c", "1", b"/base/v2/models/a%2Fb%20c/versions/1/infer"),
        ("x\r\ny", None, b"/base/v2/models/x%0D%0Ay/infer"),
    ],
)
def test_names_are_quoted(model, version, path):
    world = World([ANSWERED])

    world.run(world.core(url="http://server/base/").infer(Question(model, {"x": 1}, version), None))

    assert world.asked[0][1].line == b"POST %b HTTP/1.1\r\n" % path


# --- deadlines


def timeout_ms(ask: Ask, now: float) -> int | None:
    head = ask.wire(b"", now).partition(b"\r\n\r\n")[0]
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    value = lines.get(b"X-Request-Timeout-Ms")
    return None if value is None else int(value)


def test_every_attempt_says_how_much_time_is_left():
    world = World([reply(503), LOST, ANSWERED], takes_s=0.2)

    world.run(world.core(timeout_s=2.0).infer(QUESTION, None))

    assert world.pauses == [0.05, 0.1]
    assert [timeout_ms(ask, now) for now, ask in world.asked] == [2000, 1750, 1450]
    assert {ask.until for _, ask in world.asked} == {1002.0 + GRACE_S}


def test_without_a_deadline_the_servers_own_rule_holds():
    world = World([ANSWERED])

    world.run(world.core().infer(QUESTION, None))

    ((now, ask),) = world.asked
    assert timeout_ms(ask, now) is None
    assert ask.until == now + PATIENCE_S


def test_what_is_left_is_never_nothing():
    world = World([ANSWERED])
    world.run(world.core().infer(QUESTION, 1e-6))

    assert timeout_ms(world.asked[0][1], now=2000.0) == 1


def test_a_silent_server_is_given_up():
    world = World([LATE])

    with pytest.raises(DeadlineExceeded, match="http://server gave no answer within 2 s") as caught:
        world.run(world.core().infer(QUESTION, 2.0))

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.status is None
    assert len(world.asked) == 1


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_a_timeout_that_cannot_be(timeout_s):
    with pytest.raises(ValueError, match="timeout_s"):
        World().run(World().core().infer(QUESTION, timeout_s))
    with pytest.raises(ValueError, match="timeout_s"):
        World().core(timeout_s=timeout_s)


# --- retries


@pytest.mark.parametrize(
    ("result", "kind", "status", "again"),
    [
        (reply(400), InvalidRequest, 400, False),
        (reply(401), InvalidRequest, 401, False),
        (reply(404), ModelNotFound, 404, False),
        (reply(413), InvalidRequest, 413, False),
        (reply(429), Overloaded, 429, True),
        (reply(500), ServerFailed, 500, False),
        (reply(502), ServerFailed, 502, False),
        (reply(503), Unavailable, 503, True),
        (reply(504), DeadlineExceeded, 504, False),
        (reply(302), ServerFailed, 302, False),
        (LOST, Unavailable, None, True),
        (CUT_OFF, ServerFailed, None, False),
        (LATE, DeadlineExceeded, None, False),
    ],
)
def test_what_is_sent_again_and_what_is_raised(result, kind, status, again):
    world = World([result] * 3)

    with pytest.raises(kind) as caught:
        world.run(world.core().infer(QUESTION, None))

    assert type(caught.value) is kind
    assert caught.value.status == status
    assert caught.value.attempts == len(world.asked) == (3 if again else 1)


def test_the_server_is_taken_at_its_word():
    world = World([reply(429, retry_after="2"), ANSWERED])

    answer = world.run(world.core().infer(QUESTION, 10.0))

    assert world.pauses == [2.25]
    assert answer.attempts == 2


def test_who_has_not_so_long_is_told_at_once():
    world = World([reply(429, b'{"error": "no room"}', retry_after="2")])

    with pytest.raises(Overloaded) as caught:
        world.run(world.core().infer(QUESTION, 1.0))

    assert str(caught.value) == "no room; it asks to come back in 2 s"
    assert caught.value.retry_after_s == 2.0
    assert world.pauses == []


def test_a_kept_connection_that_was_closed_is_no_attempt():
    world = World([STALE, ANSWERED])

    answer = world.run(world.core(retries=0).infer(QUESTION, None))

    assert answer.attempts == 1
    assert world.pauses == []


def test_an_error_without_a_reason_says_its_number():
    world = World([reply(500, b"<html>")])

    with pytest.raises(ServerFailed, match="the server answered 500 and no reason"):
        world.run(world.core().infer(QUESTION, None))


results = st.sampled_from(
    [reply(429, retry_after="1"), reply(429, retry_after="30"), reply(429), reply(503), LOST, STALE,
     CUT_OFF, LATE, reply(500), reply(400), reply(404), reply(504), ANSWERED]
)  # fmt: skip


@given(
    st.lists(results, min_size=20, max_size=20),
    st.integers(0, 6),
    st.floats(0, 3),
    st.one_of(st.none(), st.floats(0.01, 20)),
)
def test_whatever_happens_a_call_ends_in_time_with_an_answer_or_an_error(
    script, retries, takes_s, timeout_s
):
    world = World(list(script), takes_s=takes_s)
    core = world.core(retries=retries)
    began = world.now
    try:
        world.run(core.infer(QUESTION, timeout_s))
        ended_well = True
    except JitneyError:
        ended_well = False

    last_start = began + (PATIENCE_S if timeout_s is None else timeout_s)
    assert all(at <= last_start for at, _ in world.asked)
    assert 1 <= len(world.asked) <= retries + 2  # one for a kept connection
    assert ended_well == (script[len(world.asked) - 1] is ANSWERED)
    # No attempt follows what must not be tried again.
    for result in script[: len(world.asked) - 1]:
        assert result in (LOST, STALE) or result.status in (429, 503)


# --- a model that has changed


@pytest.mark.parametrize("refusal", [reply(400), reply(404)])
def test_a_model_that_has_changed_is_asked_in_its_new_way(refusal):
    world = World([ANSWERED, refusal, ANSWERED])
    core = world.core()
    world.run(core.infer(QUESTION, None))
    world.now += REFRESH_S
    other = [{"name": "x", "datatype": "INT8", "shape": [-1]}]
    world.describes = lambda: metadata(inputs=other)

    assert world.run(core.infer(QUESTION, None))["y"].tolist() == [2.0]

    assert world.learned == 2
    assert b"INT8" in world.asked[-1][1].body.content


def test_a_value_that_fits_only_what_the_model_is_now_is_sent():
    world = World([ANSWERED, ANSWERED])
    core = world.core()
    world.run(core.infer(QUESTION, None))
    world.now += REFRESH_S
    other = [{"name": "z", "datatype": "BYTES", "shape": [-1]}]
    world.describes = lambda: metadata(inputs=other)

    world.run(core.infer(Question("m", {"z": ["text"]}), None))

    assert len(world.asked) == 2


def test_a_mistake_is_a_mistake_though_the_model_was_asked_again():
    world = World([ANSWERED, reply(400), reply(400)])
    core = world.core()
    world.run(core.infer(QUESTION, None))
    world.now += REFRESH_S

    for _ in range(2):  # the second finds it fresh
        with pytest.raises(InvalidRequest):
            world.run(core.infer(QUESTION, None))

    assert world.learned == 2


def test_a_model_that_is_gone_is_not_found():
    world = World([ANSWERED, reply(404)])
    core = world.core()
    world.run(core.infer(QUESTION, None))
    world.now += REFRESH_S
    world.describes = lambda: reply(404, b'{"error": "gone"}')

    with pytest.raises(ModelNotFound, match="gone"):
        world.run(core.infer(QUESTION, None))


# --- readiness


def test_who_waits_until_it_is_ready_asks_ever_more_rarely():
    world = World([LOST, reply(503), reply(503), reply(200)])

    world.run(world.core().wait_ready(None, 10.0))

    assert world.pauses == [0.02, 0.04, 0.08]
    assert world.asked[0][1].line == b"GET /v2/health/ready HTTP/1.1\r\n"


def test_who_waits_in_vain_is_told_why():
    world = World([reply(503, b'{"error": "model m is loading"}')] * 99)

    with pytest.raises(DeadlineExceeded, match="not ready after 5 s: model m is loading"):
        world.run(world.core().wait_ready(None, 5.0))

    assert world.now <= 1005.0


@pytest.mark.parametrize("result", [reply(503), reply(404), LOST, LATE, CUT_OFF])
def test_what_does_not_say_that_it_is_ready_is_not(result):
    world = World([result])

    assert world.run(world.core().ready(None, 1.0))


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"max_connections": 0}, {"url": "ftp://a"}])
def test_options_that_cannot_be(wrong):
    with pytest.raises(ValueError):
        World().core(**wrong)

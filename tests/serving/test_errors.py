"""How errors meet the outside: status, words and headers."""

import json

import grpc
import pytest

import batching
import models
from batching import (
    BatchingError,
    DeadlineExceeded,
    Draining,
    QueueFull,
    Rejected,
    RunFailed,
    TooLate,
    TooManyRows,
)
from models import BadModel, InvalidInput, ModelError, ModelNotFound, ModelNotReady
from serving.errors import (
    STATUS,
    UNEXPECTED,
    BodyTooLarge,
    UnsupportedEncoding,
    message_of,
    reply_to,
    status_of,
)
from serving.protocol import InvalidRequest

QUEUE_FULL = QueueFull(rows=2, waiting=7, limit=8, retry_after_s=2.1)
TOO_LATE = TooLate(needed_s=0.5, allowed_s=0.1)


def failed(cause: BaseException) -> RunFailed:
    """A run that failed because of this."""
    error = RunFailed("it raised")
    error.__cause__ = cause
    return error


# The statuses are the protocol reference's recommendation.
EXPECTED = [
    (InvalidRequest("id: expected a text"), 400, "id: expected a text"),
    (InvalidInput("input 'x': expected"), 400, "input 'x': expected"),
    (ModelNotFound("m"), 404, "model 'm' is not found"),
    (ModelNotFound("m", "2"), 404, "version '2' of model 'm' is not found"),
    (BodyTooLarge(5), 413, "the body is larger than the 5 bytes"),
    (TooManyRows(rows=9, limit=8), 413, "a request may have at most 8 rows, this one has 9"),
    (
        UnsupportedEncoding("br"),
        415,
        "Content-Encoding 'br' is not supported; send one of gzip, deflate, or none",
    ),
    (QUEUE_FULL, 429, "the queue is full: 7 of 8 rows wait, 2 more came"),
    (TOO_LATE, 429, "the answer would take 500 ms, but only 100 ms are allowed"),
    (failed(ValueError("secret")), 500, "the model failed on this request"),
    (failed(InvalidInput("input 't' is not UTF-8")), 400, "input 't' is not UTF-8"),
    (ModelNotReady("m", "loading"), 503, "model 'm' is not ready: loading"),
    (Draining(), 503, "this model is stopping and takes no new requests"),
    (DeadlineExceeded(waited_s=0.02), 504, "the request's time ran out"),
    (KeyError("secret"), 500, "internal error; the server's log says more"),
    (MemoryError(), 500, "internal error; the server's log says more"),
]


@pytest.mark.parametrize(
    ("error", "status", "says"), EXPECTED, ids=[type(error).__name__ for error, _, _ in EXPECTED]
)
def test_an_error_has_its_status_and_its_words_in_one_form(error, status, says):
    """Lesson 25."""
    reply = reply_to(error)

    assert reply.status == status
    body = json.loads(reply.body)
    assert list(body) == ["error"]
    assert body["error"].startswith(says)
    assert (b"content-type", b"application/json") in reply.headers


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for package in (batching, models)
        for name in package.__all__
        if isinstance(kind := getattr(package, name), type) and issubclass(kind, Exception)
    ],
)
def test_every_error_that_can_reach_a_caller_stands_in_the_table(kind):
    roots = (BatchingError, ModelError, Rejected)  # never raised themselves
    if kind in roots or kind is BadModel:  # told to whoever starts the server, not to callers
        return
    assert any(base in STATUS for base in kind.__mro__)


def test_every_code_is_one_that_grpc_knows():
    for status in (*STATUS.values(), UNEXPECTED):
        assert grpc.StatusCode[status.grpc]


@pytest.mark.parametrize("error", [QUEUE_FULL, TOO_LATE])
def test_who_is_refused_for_now_is_not_made_to_send_again_at_once(error):
    """Lesson 16: clients do that by themselves where the code is UNAVAILABLE."""
    assert status_of(error) == (429, "RESOURCE_EXHAUSTED")


def test_a_subclass_is_answered_as_its_nearest_parent():
    class Stopped(Draining):
        pass

    assert status_of(Stopped()) == (503, "UNAVAILABLE")


@pytest.mark.parametrize("error", [failed(ValueError("secret")), ValueError("secret")])
def test_what_was_not_written_for_callers_goes_to_the_log_only(error, caplog):
    """Lesson 28."""
    assert "secret" not in message_of(error)
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("retry_after_s", "says"), [(0.0, b"1"), (0.4, b"1"), (1.0, b"1"), (1.2, b"2"), (60.0, b"60")]
)
def test_who_is_refused_for_now_hears_in_whole_seconds_when_to_come_back(retry_after_s, says):
    """Lesson 17."""
    for error in (
        QueueFull(rows=1, waiting=1, limit=1, retry_after_s=retry_after_s),
        TooLate(needed_s=retry_after_s, allowed_s=0),
    ):
        assert (b"retry-after", says) in reply_to(error).headers


@pytest.mark.parametrize("error", [TooManyRows(rows=9, limit=8), Draining(), InvalidRequest("")])
def test_who_is_refused_for_good_is_not_asked_back(error):
    assert b"retry-after" not in dict(reply_to(error).headers)


def test_a_body_that_is_too_large_ends_its_connection():
    assert (b"connection", b"close") in reply_to(BodyTooLarge(5)).headers


@pytest.mark.parametrize("word", ["n" * 2**20, "\udcff" * 2**20, "😀" * 2**20])
def test_a_callers_own_megabyte_does_not_come_back(word):
    for error in (ModelNotFound(word), InvalidInput(f"unexpected input {word!r}")):
        assert len(json.loads(reply_to(error).body)["error"]) <= 1001

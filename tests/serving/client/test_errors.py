"""What a reply other than 200 stands for, and what its error says."""

import pickle

import pytest

from serving.client import (
    DeadlineExceeded,
    InvalidRequest,
    JitneyError,
    ModelNotFound,
    Overloaded,
    ServerFailed,
    Unavailable,
)
from serving.client.errors import MAX_MESSAGE, error_of


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (403, InvalidRequest),
        (404, ModelNotFound),
        (413, InvalidRequest),
        (415, InvalidRequest),
        (429, Overloaded),
        (500, ServerFailed),
        (501, ServerFailed),
        (502, ServerFailed),
        (503, Unavailable),
        (504, DeadlineExceeded),
        (301, ServerFailed),
        (204, ServerFailed),
    ],
)
def test_each_status_has_its_error(status, kind):
    error = error_of(status, b'{"error": "what it was"}', None)

    assert type(error) is kind
    assert (error.status, error.message, str(error)) == (status, "what it was", "what it was")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"error": 1}', b'{"error": ""}'])
def test_who_gives_no_reason_is_said_to_give_none(body):
    assert error_of(500, body, None).message == "the server answered 500 and no reason"


def test_a_long_reason_is_cut():
    body = b'{"error": "%b"}' % (b"a" * 10**6)

    assert error_of(500, body, None).message == "a" * MAX_MESSAGE


def test_when_to_come_back_is_said_and_kept():
    error = error_of(429, b'{"error": "no room"}', 3.0)

    assert error.retry_after_s == 3.0
    assert str(error) == "no room; it asks to come back in 3 s"


@pytest.mark.parametrize("kind", [JitneyError, *JitneyError.__subclasses__()])
def test_an_error_survives_the_way_to_another_process(kind):
    error = kind("no", status=429, retry_after_s=2.0)
    error.index = 7

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == "no"


def test_a_deadline_is_a_timeout():
    with pytest.raises(TimeoutError):
        raise error_of(504, b"", None)

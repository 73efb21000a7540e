import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gate import Head
from serving.preface import known_of
from tests.support.door import post

TARGET = ("held", None)


def learned(request: bytes, length: int):
    return known_of(request, TARGET, Head(None, length, None))


@given(first=st.binary(max_size=300), other=st.binary(max_size=300))
def test_the_body_may_have_any_length(first, other):
    known = learned(post(first, b"x-more: 1"), len(first))
    request = post(other, b"x-more: 1")

    assert known is not None
    assert request.startswith(known.before)
    assert request[known.body_at(request) :] == other


@given(at=st.integers(0, 90), gone=st.integers(0, 3), put=st.binary(max_size=3))
def test_whatever_else_differs_is_read_as_ever(at, gone, put):
    request = post(b"123456789012", b"x-more: 1")
    known = learned(request, 12)
    changed = request[:at] + put + request[at + gone :]
    if not changed.startswith(known.before) or not (body_at := known.body_at(changed)):
        return
    head, _, body = changed.partition(b"\r\n\r\n")

    assert changed[body_at:] == body
    assert head == request.partition(b"\r\n\r\n")[0].replace(b": 12", b": %d" % len(body))


@pytest.mark.parametrize("length", [b"+3", b"03", b" 3", b"3 ", b"0x3", b"3,3", b"", b"3_"])
def test_a_length_spelled_otherwise_is_read_as_ever(length):
    known = learned(post(b"abc"), 3)
    request = post(b"abc").replace(b": 3", b": " + length)

    assert not request.startswith(known.before) or not known.body_at(request)


def test_what_has_no_length_or_another_is_not_known():
    assert learned(post(b"abc"), 4) is None
    assert (
        learned(post(b"abc").replace(b"content-length: 3", b"transfer-encoding: chunked"), 3)
        is None
    )


def test_a_long_head_is_not_kept():
    assert learned(post(b"abc", b"x-long: " + b"x" * 5000), 3) is None

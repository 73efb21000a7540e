"""HTTP in pieces of any size, and what is a server's URL."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client.http import BadReply, ReplyParser, address_of, head_of

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Y: z\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Y: z\r\n\r\n"
    b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\nX-Y: a\r\n\r\n" + LENGTH
TO_THE_END = b"HTTP/1.1 200 OK\r\nX-Y: z\r\n\r\nhello"
CLOSING = LENGTH.replace(b"X-Y", b"Connection: close\r\nX-Y")


@given(st.sampled_from([LENGTH, CHUNKED, INTERIM, CLOSING, TO_THE_END]), st.data())
def test_a_reply_is_whole_when_its_last_byte_is_there_and_not_before(text, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    parser = ReplyParser()
    assert not parser.began

    for piece in pieces[:-1]:
        assert parser.feed(piece) is None
        assert parser.began
    reply = parser.feed(pieces[-1])
    if text is TO_THE_END:
        assert reply is None
        reply = parser.end()

    assert reply is not None
    assert (reply.status, reply.body, reply.headers[b"x-y"]) == (200, b"hello", b"z")
    assert reply.keep_alive == (text in (LENGTH, CHUNKED, INTERIM))


@given(st.sampled_from([LENGTH, CHUNKED, INTERIM, CLOSING]), st.data())
def test_a_reply_that_is_cut_off_is_none(text, data):
    parser = ReplyParser()

    assert parser.feed(text[: data.draw(st.integers(1, len(text) - 1))]) is None
    assert parser.end() is None


@given(st.binary(min_size=1, max_size=200))
def test_bytes_of_any_kind_are_a_reply_or_no_http(data):
    with suppress(BadReply):
        ReplyParser().feed(data)


@pytest.mark.parametrize("more", [b"x", LENGTH])
def test_a_connection_with_more_than_was_asked_for_is_not_used_again(more):
    reply = ReplyParser().feed(LENGTH + more)

    assert reply is not None
    assert reply.body == b"hello"
    assert not reply.keep_alive


def test_what_is_to_be_upgraded_is_no_reply():
    with pytest.raises(BadReply):
        ReplyParser().feed(b"HTTP/1.1 101 No\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")


@pytest.mark.parametrize(
    ("url", "host", "port", "secure", "base"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, False, ""),
        ("localhost:8000/", "localhost", 8000, False, ""),
        ("http://[::1]:8000", "::1", 8000, False, ""),
        ("https://models.example/prefix/", "models.example", 443, True, "/prefix"),
        ("models.example", "models.example", 80, False, ""),
    ],
)
def test_a_servers_url(url, host, port, secure, base):
    address = address_of(url)

    assert (address.host, address.port, address.secure, address.base) == (host, port, secure, base)


@pytest.mark.parametrize(
    "url", ["", "ftp://a", "http://", "http://a:b", "http://a b", "http://a\r\nb", "http://u:p@a",
            "http://a?b=c", "http://ä", "http://a:99999", "http://[::1"],
)  # fmt: skip
def test_what_is_no_servers_url(url):
    with pytest.raises(ValueError):
        address_of(url)


@pytest.mark.parametrize(
    "headers", [{"": "a"}, {"a b": "c"}, {"a": "b\r\nc: d"}, {"a:": "b"}, {"a": "\u20ac"}]
)
def test_headers_that_would_break_a_request(headers):
    with pytest.raises(ValueError):
        head_of(address_of("http://a"), headers)


def test_headers_are_sent_with_the_host():
    head = head_of(address_of("http://a:1"), {"Authorization": "Bearer x"})

    assert head == b"Host: a:1\r\nAuthorization: Bearer x\r\n"

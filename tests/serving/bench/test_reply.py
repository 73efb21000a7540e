"""Where a reply ends, in one piece or in many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bench.reply import MAX_HEAD, BadReply, Reply, whole_reply

USUAL = b"HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n1A;a=b\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\ntrailer: x\r\n\r\n"
)
REPLIES = {
    "usual": (USUAL, 200, True),
    "refused": (b"HTTP/1.1 429 Too Many\r\ncontent-length:0\r\n\r\n", 429, True),
    "chunked": (CHUNKED, 200, True),
    "chunked, nothing": (
        b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        503,
        True,
    ),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + USUAL, 200, True),
    "after 103 twice": (b"HTTP/1.1 103 Early\r\nlink: a\r\n\r\n" * 2 + CHUNKED, 200, True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, True),
    "closing": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 200, False),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, False),
    "old, kept": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
        200,
        True,
    ),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, True),
    "a body like a head": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n\r\n\r\ncontent-length: 5\r\n",
        200,
        True,
    ),
}


@pytest.mark.parametrize("name", REPLIES)
@given(data=st.data())
def test_pieces_do_not_matter(name: str, data: st.DataObject) -> None:
    content, status, keep_alive = REPLIES[name]
    cuts = sorted(data.draw(st.lists(st.integers(1, len(content) - 1), max_size=8)))
    reply, done = Reply(), False

    for begin, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        assert not done
        done = reply.feed(content[begin:end])

    assert done
    assert (reply.status, reply.keep_alive) == (status, keep_alive)


@pytest.mark.parametrize("name", REPLIES)
def test_the_fast_way_says_the_same_or_nothing(name: str) -> None:
    content, status, keep_alive = REPLIES[name]

    fast = whole_reply(bytearray(content + b"what was read before"), len(content))

    assert fast in (0, status)
    assert not fast or keep_alive


def test_the_fast_way_knows_the_usual_reply() -> None:
    assert whole_reply(bytearray(USUAL), len(USUAL)) == 200
    assert whole_reply(bytearray(USUAL), len(USUAL) - 1) == 0
    assert whole_reply(bytearray(USUAL + b"x"), len(USUAL) + 1) == 0


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_a_reply_or_none(content: bytes) -> None:
    buffer = bytearray(b"HTTP/1.1 200 OK\r\n" + content)
    fast = whole_reply(buffer, len(buffer))
    reply = Reply()
    try:
        done = reply.feed(bytes(buffer))
    except BadReply:
        done = False

    assert not fast or (done and reply.status == fast)


def test_a_body_may_end_with_the_connection() -> None:
    reply = Reply()

    assert not reply.feed(b"HTTP/1.1 200 OK\r\n\r\nas long as it likes")
    assert reply.at_end()
    assert not reply.keep_alive


def test_a_body_with_a_length_may_not() -> None:
    reply = Reply()
    reply.feed(USUAL[:-1])

    assert not reply.at_end()


# --- abuse


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 99 ?\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"f" * 99 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEAD + b"\r\n\r\n",
        b"a" * (MAX_HEAD + 10),
        USUAL + b"more",
    ],
    ids=lambda content: content[:60],
)
def test_what_is_no_reply_is_not_taken_for_one(content: bytes) -> None:
    assert whole_reply(bytearray(content), len(content)) == 0
    with pytest.raises(BadReply):
        Reply().feed(content)

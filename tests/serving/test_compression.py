"""Compressed bodies, the bombs among them, and what an Accept-Encoding header asks for."""

import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.protocol import InvalidRequest
from serving.protocol.compression import (
    COMPRESS_FROM,
    TooLarge,
    accepted,
    compress,
    content_coding,
    decompress,
)
from tests.support import wire

each_coding = pytest.mark.parametrize("coding", ["gzip", "deflate"])
ROOM = 2**20


def refusal(body: bytes, coding: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        decompress(body, coding, ROOM)
    return str(refused.value)


def bare(body: bytes) -> bytes:
    """Deflated without the zlib wrapping that HTTP's `deflate` asks for."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


# --- bodies


@each_coding
@wire.patient
@given(body=st.binary(max_size=3000), times=st.integers(0, 100))
def test_any_body_comes_back(coding, body, times):
    body *= times

    packed = compress(body, coding)

    assert decompress(packed, coding, len(body)) == body
    assert (gzip if coding == "gzip" else zlib).decompress(packed) == body


@wire.patient
@given(st.lists(st.binary(max_size=100_000), min_size=1, max_size=4))
def test_gzip_may_come_in_several_members(bodies):
    packed = b"".join(map(gzip.compress, bodies))

    assert decompress(packed, "gzip", ROOM) == b"".join(bodies)


@wire.patient
@given(st.binary())
def test_deflate_may_come_without_its_wrapping(body):
    assert decompress(bare(body), "deflate", ROOM) == body


@each_coding
def test_as_much_as_there_may_be_and_not_a_byte_more(coding):
    packed = compress(bytes(1000), coding)

    assert len(decompress(packed, coding, 1000)) == 1000
    for limit in (0, 1, 999):
        with pytest.raises(TooLarge):
            decompress(packed, coding, limit)


@pytest.mark.parametrize(
    ("header", "coding"),
    [(b"gzip", "gzip"), (b" X-GZip ", "gzip"), (b"Deflate", "deflate"), (b"identity", None)],
)
def test_a_content_encoding(header, coding):
    assert content_coding(header) == coding


# --- abuse of bodies


@each_coding
def test_a_bomb_is_left_alone_when_it_has_grown_to_its_limit(coding):
    """Lesson 28: 64 MiB in 65 kB, of which one MiB is made."""
    bomb = compress(bytes(2**26), coding)
    assert len(bomb) < 2**26 / 200

    with pytest.raises(TooLarge):
        decompress(bomb, coding, ROOM)


def test_a_bomb_in_many_members():
    """Lesson 28: 20 bytes each, that cost as much as 10 kB to read and come to nothing."""
    assert refusal(gzip.compress(b"") * 5000, "gzip") == "the gzip body goes on after its end"
    with pytest.raises(TooLarge):
        decompress(gzip.compress(bytes(ROOM // 10)) * 11, "gzip", ROOM)


@each_coding
@pytest.mark.parametrize("tail", [b"x", b"\0", b"{}", bytes(100_000)])
def test_what_follows_the_end(coding, tail):
    assert refusal(compress(b"{}", coding) + tail, coding).endswith("body goes on after its end")


@each_coding
@wire.patient
@given(data=st.data())
def test_a_body_that_is_cut_off(coding, data):
    packed = compress(b"some text or other", coding)

    told = refusal(packed[: data.draw(st.integers(0, len(packed) - 1))], coding)

    assert told == f"the {coding} body is cut off"


@each_coding
@wire.patient
@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_body_or_are_refused(coding, body):
    with suppress(InvalidRequest, TooLarge):
        decompress(body, coding, 1000)


@each_coding
@wire.patient
@given(at=st.integers(0, 200), put=st.binary(min_size=1, max_size=3))
def test_a_body_with_some_bytes_changed_is_refused_or_the_same(coding, at, put):
    packed = compress(bytes(range(200)), coding)

    with suppress(InvalidRequest, TooLarge):
        # What is changed in the header alone changes nothing; all else is in the checksum.
        again = decompress(packed[:at] + put + packed[at + len(put) :], coding, ROOM)
        assert again == bytes(range(200))


@pytest.mark.parametrize("header", [b"br", b"gzip, deflate", b"gzip,gzip", b"\xff", b"gzip;q=1"])
def test_a_content_encoding_that_is_not_known(header):
    with pytest.raises(LookupError):
        content_coding(header)


# --- what a reply is sent in

ASKED = [
    (b"gzip", "gzip"),
    (b"deflate", "deflate"),
    (b"x-gzip", "gzip"),
    (b"GZIP", "gzip"),
    (b"gzip, br", "gzip"),
    (b"identity, deflate", "deflate"),
    (b"gzip;q=0.5, deflate;q=0.8", "deflate"),
    (b"gzip; q=1.0, deflate;q=0.8, *;q=0.1", "gzip"),
    (b"gzip;q=0, *", "deflate"),
    (b"*;q=0.5", "gzip"),
    (b"identity;q=0.5, gzip", "gzip"),
    (b"identity;q=0.5, gzip;q=0.5", "gzip"),
    (b"gzip;q=0.001", "gzip"),
    (b"identity;q=0, gzip, deflate", "gzip"),
]
READABLE = [b"gzip, deflate", b"deflate, gzip", b"gzip, deflate, br, zstd", b"*", b"gzip,deflate,*"]
AS_IT_IS = [
    b"",
    b"identity",
    b"br",
    b"br, zstd",
    b"gzip;q=0",
    b"*;q=0",
    b"gzip;q=0.5, identity",
    b"gzip;q=0.5, deflate;q=0.4, identity;q=0.6",
    b"gzip;q=0, deflate;q=0",
    b"gzip;q=two",
    b"gzip;q=1.5",
    b"gzip;q=-1",
    b"gzip;level=9",
    b"gzip" + b", br" * 400,
]


@pytest.mark.parametrize(("header", "coding"), ASKED)
def test_who_names_one_coding_or_gives_weights_has_asked_for_it(header, coding):
    choice = accepted(header)

    assert choice is not None
    assert (choice.coding, choice.wanted_for(0)) == (coding, True)


@pytest.mark.parametrize("header", READABLE)
def test_a_plain_list_says_what_can_be_read(header):
    choice = accepted(header)

    assert choice is not None
    assert choice.coding == "gzip"
    assert [choice.wanted_for(size) for size in (0, COMPRESS_FROM - 1, COMPRESS_FROM)] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("header", AS_IT_IS)
def test_a_reply_that_is_to_go_out_as_it_is(header):
    assert accepted(header) is None


PIECES = [
    b"gzip",
    b"deflate",
    b"identity",
    b"*",
    b"br",
    b";",
    b"q=",
    b"0.5",
    b"1",
    b"0",
    b",",
    b" ",
]


@wire.patient
@given(st.binary() | st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
def test_any_header_is_understood_somehow(header):
    choice = accepted(header)

    assert choice is None or choice.coding in ("gzip", "deflate")

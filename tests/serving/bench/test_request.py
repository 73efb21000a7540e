"""URLs taken apart, bodies out of files, and the bytes that are sent."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.bench.request import Body, bodies_of, http_requests, where


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "asks", "base"),
    [
        ("http://h:81", "h", 81, "", None, "http://h:81"),
        ("h:81/", "h", 81, "", None, "http://h:81"),
        ("http://h/v2/models/m/infer", "h", 80, "/v2/models/m/infer", ("m", None), "http://h"),
        (
            "http://h:1/at/v2/models/a%20b/versions/3/infer",
            "h",
            1,
            "/at/v2/models/a%20b/versions/3/infer",
            ("a b", "3"),
            "http://h:1/at",
        ),
        (
            "http://[::1]:5/predict?x=1",
            "::1",
            5,
            "/predict?x=1",
            None,
            "http://[::1]:5/predict?x=1",
        ),
        ("http://me:secret@h:1/x", "h", 1, "/x", None, "http://h:1/x"),
    ],
)
def test_urls(
    url: str, host: str, port: int, path: str, asks: tuple[str, str | None] | None, base: str
) -> None:
    found = where(url)

    assert (found.host, found.port, found.path) == (host, port, path)
    assert found.asks_a_model == asks
    assert found.base == base
    assert "secret" not in found.netloc


@pytest.mark.parametrize(
    "url", ["https://h", "ftp://h", "http://", "http://h:99999", "http://h/ä", ""]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        where(url)


def test_a_request_is_what_http_says() -> None:
    (sent,) = http_requests(where("h:81"), "/v2/x", [Body(b"{}")], {})

    assert sent == (
        b"POST /v2/x HTTP/1.1\r\nHost: h:81\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )


def test_tensors_behind_the_json_are_told_of() -> None:
    (sent,) = http_requests(where("h"), "", [Body(b"{}\0\0", 2)], {"host": "other", "X-A": "b"})

    assert b"Inference-Header-Content-Length: 2\r\n" in sent
    assert b"octet-stream" in sent
    assert b"host: other\r\nX-A: b\r\nContent-Length: 4\r\n\r\n{}\0\0" in sent
    assert b"Host:" not in sent
    assert sent.startswith(b"POST / HTTP/1.1\r\n")


@pytest.mark.parametrize("header", [("", "x"), ("a b", "x"), ("a:b", "x"), ("a", "x\r\nb: c")])
def test_a_header_cannot_smuggle_another(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="header"):
        http_requests(where("h"), "/", [Body(b"")], dict([header]))


def test_a_file_is_one_body(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(b'{"a": 1}\n')

    assert bodies_of(file) == [Body(b'{"a": 1}\n')]


@given(st.binary(min_size=1).filter(lambda tail: tail.strip()))
def test_bytes_behind_json_are_tensors(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    file = tmp_path_factory.mktemp("bodies") / "body.bin"
    file.write_bytes(b'{"\xc3\xa4": [1]}' + tail)

    assert bodies_of(file) == [Body(b'{"\xc3\xa4": [1]}' + tail, 11)]


def test_lines_are_sent_in_turn(tmp_path: Path) -> None:
    file = tmp_path / "bodies.jsonl"
    file.write_bytes(b'{"a": 1}\n\n{"a": 2}\n')

    assert bodies_of(file) == [Body(b'{"a": 1}'), Body(b'{"a": 2}')]


def test_nothing_is_nothing_to_send(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b" \n")

    with pytest.raises(ValueError, match="empty"):
        bodies_of(tmp_path / "empty")

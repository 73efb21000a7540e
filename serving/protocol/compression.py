"""gzip and deflate: which of them a reply is sent in, and bodies from and to them.

Decompressing is bounded in what comes out, not in what goes in: a kilobyte can be a
megabyte of zeros.
"""

import re
import zlib
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from .errors import InvalidRequest

Coding = Literal["gzip", "deflate"]

CODINGS: Final = "gzip, deflate"
"""What is understood, as an Accept-Encoding header says it."""

COMPRESS_FROM: Final = 8192
"""Bytes of a reply that is compressed for who can read that, and has not asked for it."""

_NAMES: Final[dict[str, Coding]] = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_GZIP, _ZLIB, _RAW = 31, 15, -15
_GZIP_BEGINS = 0x1F
_WEIGHT = re.compile(r"q\s*=\s*(0(?:\.[0-9]{0,9})?|1(?:\.0{0,9})?)")
# One that holds nothing is 20 bytes long and all cost.
_MAX_MEMBERS = 4096
_CHUNK = 65536


class TooLarge(Exception):
    """More comes out than there may be."""


class Accepted(NamedTuple):
    """The coding that a caller reads best."""

    coding: Coding
    asked_for: bool
    """Whether it is to be used whatever the body; if not, where it is worth it."""

    def wanted_for(self, size: int) -> bool:
        """Whether a body of so many bytes is to be compressed."""
        return self.asked_for or size >= COMPRESS_FROM


def accepted(header: bytes) -> Accepted | None:
    """What an Accept-Encoding header says; None if the reply goes out as it is.

    Every HTTP library sends "gzip, deflate" unasked, and compressing costs more than
    inference does. So a list of what can be read is taken as that; only who names one
    coding of the two, or gives weights, has asked for it.
    """
    # What no client sends is neither worth reading nor a place in the cache.
    return _known(header) if len(header) <= 1024 else None


@lru_cache(maxsize=256)
def _known(header: bytes) -> Accepted | None:
    weights: dict[str, float] = {}
    weighed = False
    for part in header.decode("latin-1").lower().split(","):
        name, *options = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for option in options:
            match = _WEIGHT.fullmatch(option)
            weight, weighed = (float(match[1]) if match else 0.0), True
        if name:
            weights[_NAMES.get(name, name)] = weight
    others = weights.get("*", 0.0)
    both: tuple[Coding, Coding] = ("gzip", "deflate")
    coding = max(both, key=lambda each: weights.get(each, others))  # gzip if they are equal
    weight = weights.get(coding, others)
    if weight <= 0 or weight < weights.get("identity", 0.0):
        return None
    return Accepted(coding, weighed or sum(each in weights for each in both) == 1)


def content_coding(header: bytes) -> Coding | None:
    """How a body is coded by its Content-Encoding header; None if it is not.

    Raises LookupError for a coding that is not known, and for several at once.
    """
    name = header.decode("latin-1").strip().lower()
    return None if name in ("", "identity") else _NAMES[name]


def compress(body: bytes, coding: Coding) -> bytes:
    """The body in the coding, made as quickly as possible."""
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP if coding == "gzip" else _ZLIB)
    return packer.compress(body) + packer.flush()


def decompress(body: bytes, coding: Coding, limit: int) -> bytes:
    """The body out of its coding.

    Raises TooLarge if more than `limit` bytes come out, of which no more than that are
    made, and InvalidRequest if the body is not what it should be. A gzip body may have
    several members; deflate may lack its zlib wrapping, as some clients send it.
    """
    wrapping = _GZIP if coding == "gzip" else _wrapping(body)
    unpacker = zlib.decompressobj(wrapping)
    parts: list[bytes] = []
    left, members = limit, 1
    for at in range(0, len(body), _CHUNK):
        data = body[at : at + _CHUNK]
        while data:
            if unpacker.eof:
                members += 1
                if coding == "deflate" or members > _MAX_MEMBERS or data[0] != _GZIP_BEGINS:
                    raise InvalidRequest(f"the {coding} body goes on after its end")
                unpacker = zlib.decompressobj(wrapping)
            try:
                part = unpacker.decompress(data, left + 1)
            except zlib.error as error:
                raise InvalidRequest(f"the {coding} body is corrupt") from error
            if len(part) > left:
                raise TooLarge
            left -= len(part)
            parts.append(part)
            data = unpacker.unused_data
    if not unpacker.eof:
        raise InvalidRequest(f"the {coding} body is cut off")
    return b"".join(parts)


def _wrapping(body: bytes) -> int:
    """Whether deflated data is a zlib stream, by its header, or bare."""
    is_zlib = len(body) >= 2 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _ZLIB if is_zlib else _RAW

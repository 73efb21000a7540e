"""Compressed bodies, in and out: what is large is not (de)compressed on the event loop."""

import asyncio

from .errors import BodyTooLarge, Reply
from .protocol.compression import Accepted, Coding, TooLarge, compress, decompress

SMALL = 65536
"""Bytes, compressed or not, that are decompressed sooner than a thread has begun."""

SMALL_REPLY = 16384
"""Bytes that are compressed in some tenths of a millisecond."""


def glance(body: bytes, coding: Coding | None) -> bytes:
    """A small body as it was before it was compressed; nothing if it is wrong or not small then."""
    if coding is None:
        return body
    try:
        return decompress(body, coding, SMALL)
    except Exception:
        return b""  # whoever reads it in earnest says what is wrong


async def decompressed(body: bytes, coding: Coding, limit: int) -> bytes:
    """The body before it was compressed.

    Raises BodyTooLarge if that is more than `limit` bytes, and InvalidRequest.
    """
    try:
        if len(body) <= SMALL:
            try:
                return decompress(body, coding, min(SMALL, limit))
            except TooLarge:
                if limit <= SMALL:
                    raise
        return await asyncio.to_thread(decompress, body, coding, limit)
    except TooLarge as error:
        raise BodyTooLarge(limit) from error


async def compressed(reply: Reply, accepted: Accepted) -> Reply:
    """The reply as its caller reads it best; the same one if that is as it is."""
    if not accepted.wanted_for(len(reply.body)):
        return reply
    coding = accepted.coding
    if len(reply.body) <= SMALL_REPLY:
        body = compress(reply.body, coding)
    else:
        body = await asyncio.to_thread(compress, reply.body, coding)
    headers = [
        *reply.headers,
        (b"content-encoding", coding.encode()),
        # No cache keeps an answer to a POST unless it is told to, so that answers which were
        # not compressed need not say that they might have been.
        (b"vary", b"accept-encoding"),
    ]
    return Reply(reply.status, body, headers)

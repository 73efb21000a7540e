"""A small JSON body, read within its bounds."""

from typing import Any

import orjson
from fastapi import Request

from ..errors import BodyTooLarge, UnsupportedEncoding
from ..protocol import InvalidRequest


async def json_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """The body as a JSON object, an empty one where there is no body.

    Raises InvalidRequest, BodyTooLarge and UnsupportedEncoding.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedEncoding(encoding)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(max_bytes)
    if not body:
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequest("the body: expected a JSON object, or nothing")
    return value


async def parameters(request: Request, max_bytes: int) -> dict[str, Any]:
    """The `parameters` in the body, none where there are none."""
    value = (await json_object(request, max_bytes)).get("parameters", {})
    if not isinstance(value, dict):
        raise InvalidRequest("parameters: expected an object")
    return value

"""Requests and replies of the protocol as a client writes and reads them, with Python alone.

Nothing is shared with the server, so that a mistake on one side shows on the other.
"""

import json
import struct
from collections.abc import Iterator
from math import prod
from typing import Any

JSON_LENGTH = "Inference-Header-Content-Length"
FORMATS = {"FP32": ("f", 4), "INT64": ("q", 8)}


class Wrong(Exception):
    """An answer that is not the one to this request."""


def expect(what: str, got: object, expected: object) -> None:
    """Say what is wrong, without a value that differs by request: locust counts by text."""
    if got != expected:
        raise Wrong(f"{what} is not what was asked for")


def read(content: bytes, json_length: str | None) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """A reply's JSON, and each output's values, whether they came as JSON or as bytes."""
    end = int(json_length) if json_length else len(content)
    reply, binary = json.loads(content[:end]), content[end:]
    values: dict[str, list[Any]] = {}
    for output in reply["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found = output["data"]
        elif output["datatype"] == "BYTES":
            found = list(texts(binary[:size]))
        else:
            code, each = FORMATS[output["datatype"]]
            found = list(struct.unpack(f"<{size // each}{code}", binary[:size]))
        binary = binary[size or 0 :]
        expect("number of values", len(found), prod(output["shape"]))
        values[output["name"]] = found
    expect("length of the binary data", len(binary), 0)
    return reply, values


def texts(content: bytes) -> Iterator[str]:
    """Those in a tensor of BYTES: each has its length before it."""
    while content:
        (length,) = struct.unpack_from("<I", content)
        yield content[4 : 4 + length].decode()
        content = content[4 + length :]


def text_bytes(elements: list[str]) -> bytes:
    """A tensor of BYTES."""
    parts = [element.encode() for element in elements]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)

"""The bytes of a request, and what a URL and a file say about it. Pure but for reading the file."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

MAX_BODIES = 100_000
JSON_LENGTH = "Inference-Header-Content-Length"


class Where(NamedTuple):
    """A URL, taken apart."""

    host: str
    port: int
    netloc: str
    path: str
    """With its query; empty if there is none."""

    @property
    def base(self) -> str:
        """The server's URL, what stands before /v2 included."""
        return f"http://{self.netloc}{self.path.partition('/v2')[0].rstrip('/')}"

    @property
    def asks_a_model(self) -> tuple[str, str | None] | None:
        """Name and version of the model, if the path is one that infers."""
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/")]
        if "v2" in parts and parts[-1] == "infer":
            rest = parts[parts.index("v2") + 1 : -1]
            if len(rest) == 2 and rest[0] == "models":
                return rest[1], None
            if len(rest) == 4 and (rest[0], rest[2]) == ("models", "versions"):
                return rest[1], rest[3]
        return None


def where(url: str) -> Where:
    """Raises ValueError, with a sentence, if it is not the URL of an HTTP server."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme == "https":
        raise ValueError("TLS is not spoken here: bench the server behind it, over http://")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("it needs http:// and a host")
    if not all(32 < ord(char) < 127 for char in url):
        raise ValueError("it has characters that a URL may not have")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    netloc = parts.netloc.rpartition("@")[2]
    return Where(parts.hostname, parts.port or 80, netloc, path.rstrip("/"))


class Body(NamedTuple):
    """What follows the head."""

    content: bytes
    json_length: int | None = None
    """Where tensors follow the JSON as bytes: where they begin."""


def bodies_of(path: Path) -> list[Body]:
    """The requests in a file: one, or a line each if its name ends in .jsonl.

    JSON with bytes behind it is taken for JSON with binary tensors. Raises OSError, or
    ValueError with a sentence.
    """
    content = path.read_bytes()
    if not content.strip():
        raise ValueError("it is empty")
    if path.suffix == ".jsonl":
        lines = [line for line in content.splitlines() if line.strip()]
        if len(lines) > MAX_BODIES:
            raise ValueError(f"it has {len(lines):,} requests, more than {MAX_BODIES:,}")
        return [Body(line) for line in lines]
    return [Body(content, _json_ends(content))]


def _json_ends(content: bytes) -> int | None:
    """Where the JSON at the beginning ends, if something else follows it."""
    # Latin-1 gives each byte one character, so that places are places in the file.
    text = content.decode("latin-1")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return None
    return end if content[end:].strip() else None


def http_requests(
    where: Where, path: str, bodies: Iterable[Body], headers: Mapping[str, str]
) -> list[bytes]:
    """Whole HTTP/1.1 requests. Headers given replace ours. Raises ValueError for bad ones."""
    for name, value in headers.items():
        if not name or any(not 32 < ord(char) < 127 or char == ":" for char in name):
            raise ValueError(f"{name!r} is no name of a header")
        if any(char in "\r\n\0" or ord(char) > 255 for char in value):
            raise ValueError(f"the header {name} has a value that cannot be sent")
    requests = []
    for content, json_length in bodies:
        ours = {"Host": where.netloc, "Content-Type": "application/json"}
        if json_length is not None:
            ours |= {"Content-Type": "application/octet-stream", JSON_LENGTH: str(json_length)}
        given = {name.lower() for name in headers}
        lines = {name: value for name, value in ours.items() if name.lower() not in given}
        lines |= {**headers, "Content-Length": str(len(content))}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        requests.append(f"POST {path or '/'} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + content)
    return requests

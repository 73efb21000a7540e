"""The page's own files, out of the package: read once, and kept by browsers for good.

Their addresses hold a digest of all of them. A new version of the server has new
addresses, so that no browser ever mixes old files with new ones.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE: Final = "index.html"
_PLACE: Final = b"{digest}"

SAFE: Final = {
    # The page needs nothing but what this server gives, and no script that is not a file of it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class File(NamedTuple):
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str


@cache
def files() -> dict[str, File]:
    """Every file by its name. The page names the others by `digest`."""
    read = {path.name: path for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}
    contents = {name: path.read_bytes() for name, path in read.items()}
    contents[PAGE] = contents[PAGE].replace(_PLACE, digest().encode())
    return {
        name: File(content, TYPES[read[name].suffix], f'"{sha256(content).hexdigest()[:16]}"')
        for name, content in contents.items()
    }


@cache
def digest() -> str:
    """Of all files together."""
    hashed = sha256()
    for path in sorted(FOLDER.iterdir()):
        if path.suffix in TYPES:
            hashed.update(path.name.encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()[:16]

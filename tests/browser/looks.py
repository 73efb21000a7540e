"""Where things are on the page, for tests that use it as people do."""

import struct
import zlib
from pathlib import Path

from playwright.sync_api import Locator, Page, expect


def card(page: Page, name: str, version: str = "1") -> Locator:
    """A model's part of the page."""
    return page.locator(f"#model-{name}-{version}")


def answer(card: Locator) -> Locator:
    """The sentence in which a model's answer is said."""
    return card.locator(".answer .said")


def ask(card: Locator) -> None:
    """Press the button, and wait for an answer or an error."""
    card.get_by_role("button", name="Ask", exact=True).click()
    expect(card.locator(".answer")).to_have_attribute("data-state", "done")


def snippets(card: Locator) -> dict[str, str]:
    """The same call from elsewhere, by what it is written in."""
    found = {}
    for name in ("curl", "Python", "jitney call"):
        card.get_by_role("tab", name=name, exact=True).click()
        region = card.get_by_role("group", name=f"The call with {name}", exact=True)
        found[name] = region.inner_text()
    return found


SEVEN = [(90, 70), (230, 70), (200, 130), (170, 190), (150, 260)]
"""As a hand draws it, on a square of 320."""


def draw(card: Locator, points: list[tuple[int, int]]) -> None:
    """Draw a line with the mouse."""
    canvas = card.get_by_role("application")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    places = [(box["x"] + x * box["width"] / 320, box["y"] + y * box["height"] / 320)
              for x, y in points]  # fmt: skip
    mouse = card.page.mouse
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=8)
    mouse.up()


def png(path: Path) -> Path:
    """A picture, small and whole."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    side = 64
    lines = b"".join(b"\0" + bytes((x * y) % 251 for x in range(side)) for y in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path

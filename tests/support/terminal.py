"""A terminal: what is to be seen on it after all that was written."""

import re

# What programs of ours send, and no more: anything else fails.
_PARTS = re.compile(r"\x1b\[(\??)(\d*)([A-Za-z])|\r|\n|[^\x00-\x1f\x7f]+")


class Terminal:
    """Endlessly high. Feed it; look at `lines`, `row` and `column`."""

    def __init__(self, columns: int = 80) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0
        self.cursor_shown = self.breaks = True

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            part = _PARTS.match(text, at)
            assert part, f"not understood: {text[at : at + 20]!r}"
            at = part.end()
            if part[3]:
                self._command(part[1], part[2], part[3])
            elif part[0] == "\r":
                self.column = 0
            elif part[0] == "\n":
                self._down()
                self.column = 0
            else:
                for character in part[0]:
                    self._put(character)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)

    def _put(self, character: str) -> None:
        if self.column == self.columns:
            if self.breaks:
                self._down()
                self.column = 0
            else:
                self.column -= 1
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    def _command(self, private: str, number: str, letter: str) -> None:
        match private, number, letter:
            case "?", "25", "h" | "l":
                self.cursor_shown = letter == "h"
            case "?", "7", "h" | "l":
                self.breaks = letter == "h"
            case "", _, "A":
                self.row -= int(number or 1)
                assert self.row >= 0
            case "", "2", "K":
                self.lines[self.row] = ""
            case "", "" | "0", "J":
                self.lines[self.row] = self.lines[self.row][: self.column]
                del self.lines[self.row + 1 :]
            case _:
                raise AssertionError(f"not understood: {private}{number}{letter}")

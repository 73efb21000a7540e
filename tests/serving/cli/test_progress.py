"""A line that rewrites itself for who watches, a line now and then for who does not."""

from io import StringIO

from serving.cli.progress import OFTEN_ENOUGH_S, WIDTH, Progress


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> str:
        """What is to be seen on the last line, and where the cursor is, if not at its end."""
        line = ""
        for part in self.getvalue().split("\n")[-1].split("\r"):
            line = part + line[len(part) :]
        return line


def test_on_a_terminal_each_sentence_takes_the_place_of_the_last():
    terminal = Terminal()
    progress = Progress(terminal)

    progress("a rather long sentence")
    progress("a short one")

    assert terminal.screen.rstrip() == "a short one"
    assert "\n" not in terminal.getvalue()


def test_the_line_is_empty_once_it_is_done():
    terminal = Terminal()
    with Progress(terminal) as progress:
        progress("a sentence")

    assert terminal.screen.strip() == ""
    assert terminal.getvalue().endswith("\r")


def test_a_sentence_never_breaks_the_line():
    terminal = Terminal()

    Progress(terminal)("x" * 500)

    assert len(terminal.screen) == WIDTH


def test_elsewhere_a_fast_start_is_quiet_and_a_slow_one_is_explained():
    log, now = StringIO(), [0.0]
    with Progress(log, clock=lambda: now[0]) as progress:
        for sentence in ("one", "two", "three", "four", "five"):
            progress(sentence)
            now[0] += OFTEN_ENOUGH_S / 2

    assert log.getvalue() == "three\nfive\n"

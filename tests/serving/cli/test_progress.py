"""A line that rewrites itself for who watches, a line now and then for who does not."""

from io import StringIO

from serving.cli.progress import OFTEN_ENOUGH_S, WIDTH, Progress, bar


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


# --- how far it is


def test_a_bar_tells_how_far_and_what_the_rest_takes() -> None:
    terminal, now = Terminal(), [0.0]
    progress = Progress(terminal, clock=lambda: now[0])

    progress("reading", done=0.0)
    assert terminal.screen.rstrip() == "----------------   0% reading"
    now[0] = 10.0
    progress("reading", done=0.25)

    assert terminal.screen.rstrip() == "####------------  25% reading, about 30 s left"


def test_models_that_are_expected_fill_the_bar_one_after_the_other() -> None:
    terminal, now = Terminal(), [0.0]
    progress = Progress(terminal, clock=lambda: now[0])
    progress.expect(["a", "b", "b", "c"], each_s=2.0)

    progress("a: loading")
    assert terminal.screen.startswith("----------------   0% a: loading, about 8 s left")
    now[0] = 1.0
    progress("a: measuring 8 rows")
    assert terminal.screen.startswith("##--------------  12% a: measuring 8 rows, about 7 s left")
    now[0] = 5.0  # longer than was thought: it waits at its end
    progress("a: measuring 16 rows")
    assert terminal.screen.startswith("####------------  25% a: measuring 16 rows, about 6 s left")
    progress("b: loading")
    assert terminal.screen.startswith("####------------  25% b: loading, about 6 s left")
    progress("c: loading")
    assert terminal.screen.startswith("############----  75% c: loading, about 2 s left")


def test_a_sentence_of_somebody_unexpected_has_no_bar() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress.expect(["a"], each_s=2.0)

    progress("z: loading")

    assert terminal.screen.rstrip() == "z: loading"


def test_a_bar_never_breaks_the_line() -> None:
    terminal, now = Terminal(), [0.0]
    progress = Progress(terminal, clock=lambda: now[0])
    progress("x" * 500, done=0.0)
    now[0] = 1e6

    progress("x" * 500, done=0.5)

    assert len(terminal.screen) == WIDTH
    assert terminal.screen.endswith("…, about 277 h left")


def test_elsewhere_a_share_is_a_number() -> None:
    log, now = StringIO(), [0.0]
    progress = Progress(log, clock=lambda: now[0])

    now[0] = OFTEN_ENOUGH_S
    progress("reading", done=0.5)

    assert log.getvalue() == "reading (50%)\n"


def test_a_bar_has_only_characters_that_can_be_written() -> None:
    assert bar(0.5, 4) == "██░░"
    assert bar(0.5, 4, "latin-1") == "##--"
    assert bar(0.5, 4, None) == "##--"
    assert bar(-1, 4) == "░░░░"
    assert bar(2, 4) == "████"

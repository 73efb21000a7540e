"""How a mistake is told on the command line: one line, exit code 2, no traceback."""

from typing import IO, Any

import click


class Mistake(click.ClickException):
    """Something that the person at the keyboard can put right."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"jitney: {self.format_message()}", err=True, file=file)

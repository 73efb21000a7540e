"""Command-line options out of the settings' one declaration."""

from collections.abc import Callable
from typing import Any

import click

from ..settings import options


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command an option for each setting, with its environment variable."""
    for option in reversed(options()):
        decorate = click.option(
            f"{option.flag}/--no-{option.flag[2:]}" if option.kind is bool else option.flag,
            option.name,
            default=option.default,
            type=option.kind,
            envvar=option.variable,
            show_envvar=True,
            show_default=True,
            help=option.says,
        )
        command = decorate(command)
    return command

"""Command-line options out of the settings' one declaration."""

from collections.abc import Callable
from typing import Any

import click

from ..settings import Option, options

Command = Callable[..., Any]


def settings_options(command: Command) -> Command:
    """Give a click command an option for each setting, with its environment variable."""
    for option in reversed(options()):
        command = _click_option(option)(command)
    return command


def setting_option(name: str) -> Callable[[Command], Command]:
    """An option for one setting."""
    return _click_option(next(option for option in options() if option.name == name))


def _click_option(option: Option) -> Callable[[Command], Command]:
    return click.option(
        f"{option.flag}/--no-{option.flag[2:]}" if option.kind is bool else option.flag,
        option.name,
        default=option.default,
        type=option.kind,
        envvar=option.variable,
        show_envvar=True,
        show_default=True,
        help=option.says,
    )

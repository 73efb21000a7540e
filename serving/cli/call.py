"""`jitney call`: one request from the command line, and its answer for people."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import Mistake

if TYPE_CHECKING:
    from .client import Client
    from .images import Scale
    from .spec import Spec
    from .values import Array
    from .wire import Output, Target


_NEGATIVE = r"-(\.?\d|inf|nan)"


class _TakesNegatives(click.Command):
    """A command to which -5.1 is a number, and --misspelt still an unknown option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # With a blank before it, it is no option; to `--timeout -1` it is the same number still.
        ends = args.index("--") if "--" in args else len(args)
        begins = [
            f" {arg}" if re.match(_NEGATIVE, arg, re.IGNORECASE) else arg for arg in args[:ends]
        ]
        return super().parse_args(ctx, begins + args[ends:])


def _as_typed(ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(re.sub(f"^ (?={_NEGATIVE})", "", value, flags=re.IGNORECASE) for value in values)


@click.command(cls=_TakesNegatives)
@click.argument("model")
@click.argument("values", nargs=-1, metavar="[VALUE]...", callback=_as_typed)
@click.option(
    "--input", "named", multiple=True, metavar="NAME=VALUE", help="A value for the input NAME"
)
@click.option(
    "--url",
    default="http://127.0.0.1:8000",
    envvar="JITNEY_URL",
    show_envvar=True,
    show_default=True,
    help="The server",
)
@click.option("--model-version", type=click.IntRange(min=0), metavar="N", help="Of the model")
@click.option("--timeout", "timeout_s", type=float, metavar="SECONDS", help="How long to wait")
@click.option(
    "--priority", type=click.IntRange(1), metavar="N", help="1 is the most urgent; 5 is usual"
)
@click.option("--pixels", metavar="BLACK:WHITE", help="The numbers that an image's pixels become")
@click.option("--top", type=click.IntRange(1), metavar="K", help="Only the K largest of a vector")
@click.option(
    "--labels",
    "labels_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What --top calls the places, a line each",
)
@click.option("--json", "as_json", is_flag=True, help="Print the reply's JSON")
def call(
    model: str,
    values: tuple[str, ...],
    named: tuple[str, ...],
    url: str,
    model_version: int | None,
    timeout_s: float | None,
    priority: int | None,
    pixels: str | None,
    top: int | None,
    labels_file: Path | None,
    as_json: bool,
) -> None:
    """Send VALUEs to MODEL and show what it answers, and how long that took.

    \b
    A VALUE is     for instance
    numbers        5.1 -3.5 1.4 0.2, or 5.1,-3.5,1.4,0.2
    a JSON list    '[[1, 2], [3, 4]]'
    a text         "a sentence", for inputs of BYTES; several are several rows
    a file         @rows.json  @rows.npy  @picture.png  @anything, for inputs of BYTES
    stdin          -

    Without one, the model's own example is sent, or zeros. A text that begins with @ is
    written with two of them.
    """
    if timeout_s is not None and not 0 < timeout_s < 1e6:
        raise Mistake(f"--timeout must be above 0 and below 1000000 seconds, got {timeout_s:g}.")
    if as_json and top:
        raise Mistake("--top is for people; --json prints every number. Give one of them.")
    scale = _scale(pixels)
    labels = _read(str(labels_file)).decode(errors="replace").splitlines() if labels_file else []

    # numpy, and an HTTP client: only for who calls.
    from .answers import timing
    from .client import Client

    client = Client(url, timeout_s)
    try:
        target = client.target(model, str(model_version) if model_version is not None else None)
        tensors = _tensors(client, target, values, named, scale)
        reply = client.infer(target, tensors, priority=priority, as_json=as_json)
    finally:
        client.close()
    if as_json:
        import json

        click.echo(json.dumps(reply.document, ensure_ascii=False))
        return
    version = reply.document.get("model_version")
    click.echo(f"{model}{f' (version {version})' if version else ''}")
    for output in reply.outputs:
        click.echo(_shown(output, target, top, labels))
    click.echo(timing(reply.round_trip_s, reply.server_timing))


def _tensors(
    client: "Client",
    target: "Target",
    values: Sequence[str],
    named: Sequence[str],
    scale: "Scale | None",
) -> "dict[str, Array]":
    """What to send, and a line on stderr where that is not what was typed."""
    from .images import see
    from .spec import shown_shape
    from .values import from_example, gather, made_up

    def example() -> "dict[str, Array] | None":
        try:
            body = client.example(target)
            return from_example(target.inputs, body) if body else None
        except (Mistake, KeyError, TypeError, ValueError, AttributeError):
            return None  # an example that is of no use is as good as none

    def look(spec: "Spec", name: str, content: bytes) -> "Array":
        usual = None if scale else (example() or {}).get(spec.name)
        array, said = see(spec, name, content, scale=scale, example=usual)
        click.echo(said, err=True)
        return array

    if values or named:
        return gather(target.inputs, values, named, _read, look)
    if (tensors := example()) is not None:
        click.echo("No values were given: this is the model's own example.", err=True)
        return tensors
    tensors = made_up(target.inputs)
    sent = ", ".join(
        f"{spec.name} {spec.datatype} {shown_shape(tensors[spec.name].shape)}"
        for spec in target.inputs
    )
    click.echo(f"No values were given: made some up, zeros or a sentence, for {sent}.", err=True)
    return tensors


def _read(name: str) -> bytes:
    """A file's bytes; those of stdin for "-"."""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise Mistake(f"{name} cannot be read: {why}.") from error


def _scale(pixels: str | None) -> "Scale | None":
    if pixels is None:
        return None
    from math import isfinite

    black, sign, white = pixels.partition(":")
    try:
        scale = float(black), float(white)
    except ValueError:
        sign = ""
    if not sign or not all(map(isfinite, scale)):
        raise Mistake(f"--pixels takes BLACK:WHITE, as in 0:255, got {pixels!r}.")
    from .images import Scale

    return Scale(*scale)


def _shown(output: "Output", target: "Target", top: int | None, labels: Sequence[str]) -> str:
    from . import answers

    if top:
        specs: dict[str, Any] = {spec.name: spec for spec in target.outputs}
        spec = specs.get(output.spec.name, output.spec)
        if text := answers.top(output.spec, output.array, top, spec.has_rows, labels):
            return text
    return answers.as_text(output.spec, output.array)

"""`jitney inspect`: what a model is, whether it may be batched, and what a batch costs."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..settings import Settings
from .errors import Mistake
from .options import setting_option
from .progress import Progress

if TYPE_CHECKING:
    from models import Model


@click.command()
@click.argument(
    "models", nargs=-1, type=click.Path(path_type=Path), envvar="JITNEY_MODELS", metavar="[PATH]..."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, an object for each model")
@click.option("--fresh", is_flag=True, help="Measure, whatever an earlier start has found")
@setting_option("profile_budget_s")
def inspect(models: tuple[Path, ...], as_json: bool, fresh: bool, profile_budget_s: float) -> None:
    """Show what the models at PATH are and cost, as `serve` finds it.

    A PATH is an .onnx file, or a folder with <name>/<version>/model.onnx in it.
    Without one, the shipped models are shown.
    """
    try:
        Settings(profile_budget_s=profile_budget_s)
    except ValueError as error:
        raise Mistake(f"{error}.") from error

    from models import BadModel, find_models, load, usable_cores

    shown: list[dict[str, Any]] = []
    try:
        for source in find_models(models):
            with Progress(sys.stderr) as progress:
                model = load(
                    source,
                    cores=usable_cores(),
                    budget_s=profile_budget_s,
                    progress=progress,
                    fresh=fresh,
                )
            if as_json:
                shown.append(as_values(model))
            else:
                click.echo(as_text(model) + "\n")
            model.runtime.close()
    except BadModel as error:
        raise Mistake(str(error)) from error
    if as_json:
        click.echo(json.dumps(shown, indent=2))


def as_text(model: "Model") -> str:
    """One model for people."""
    from ..curve import Curve
    from ..observe.lifecycle_log import threads_in_words

    source, profile, curve = model.source, model.profile, Curve(model.profile)
    signature = (model.pipeline or model.runtime).signature
    description = source.config.description
    lines = [
        f"{source.name} (version {source.version}){': ' + description if description else ''}",
        *(f"  in   {spec}" for spec in signature.inputs),
        *(f"  out  {spec}" for spec in signature.outputs),
        "",
        f"  {profile.proof.says}",
        f"  {threads_in_words(profile)}",
        "",
        *(f"  {line}" for line in curve.picture()),
        "",
        f"  {curve.words()}",
    ]
    return "\n".join(lines)


def as_values(model: "Model") -> dict[str, Any]:
    """The same for programs."""
    from models import TensorSpec

    from ..curve import Curve
    from ..protocol import datatype_of

    def tensor(spec: TensorSpec) -> dict[str, Any]:
        return {
            "name": spec.name,
            "datatype": datatype_of(spec.dtype),
            "shape": list(spec.sizes),
        }

    source, profile, curve = model.source, model.profile, Curve(model.profile)
    signature = (model.pipeline or model.runtime).signature
    return {
        "name": source.name,
        "version": source.version,
        "path": str(source.path),
        "description": source.config.description,
        "inputs": [tensor(spec) for spec in signature.inputs],
        "outputs": [tensor(spec) for spec in signature.outputs],
        "batches": profile.proof.batches,
        "proof": profile.proof.says,
        # JSON has no infinity.
        "difference": min(profile.proof.difference, sys.float_info.max),
        "threads": profile.threads,
        "slots": profile.slots,
        **curve.as_values(),
    }

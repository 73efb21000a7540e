"""The `jitney` command."""

import click

from ..version import VERSION
from .bench import bench
from .call import call
from .inspect import inspect
from .map import map_table
from .serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, prog_name="jitney")
def main() -> None:
    """Serve ONNX models, batched by what a batch costs."""


main.add_command(serve)
main.add_command(inspect)
main.add_command(call)
main.add_command(bench)
main.add_command(map_table)

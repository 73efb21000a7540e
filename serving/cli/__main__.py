"""`python -m serving.cli` is the `jitney` command too."""

from . import main

main(prog_name="jitney")

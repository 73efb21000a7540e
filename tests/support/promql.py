"""Enough of PromQL to see what an expression reads."""

import re

_OURS = r"\b(?:[a-z]+:)?(?:jitney|process)_\w+(?::\w+)?|\bup\b"


def metrics(expression: str) -> set[str]:
    """The names of all metrics that it reads, recorded ones too."""
    bare = re.sub(r'"[^"]*"', "", expression)
    return set(re.findall(_OURS, bare))


def selectors(expression: str) -> set[str]:
    """The same, with the labels that are asked for."""
    return set(re.findall(rf"(?:{_OURS})(?:\{{[^}}]*\}})?", expression))

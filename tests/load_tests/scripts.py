"""Imports the load tests' modules as their scripts do, and forgets them afterwards."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "load_tests"


@contextmanager
def scripts() -> Iterator[None]:
    """Within it `from peers.report import …` works."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER))
        for name in set(sys.modules) - before:
            if _is_a_script(sys.modules[name]):
                del sys.modules[name]


def _is_a_script(module: ModuleType) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(str(place).startswith(str(FOLDER)) for place in places)

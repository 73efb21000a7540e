"""What holds for every test."""

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.wire import patient

# A property fails for what it finds, and never for how long a machine took to try it.
settings.register_profile("patient", patient)
settings.load_profile("patient")


@pytest.fixture(autouse=True, scope="session")
def _a_cache_of_its_own() -> Iterator[None]:
    """The user's own cache is neither used nor written, by servers that tests start either."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", os.path.join(folder, "cache"))
        yield

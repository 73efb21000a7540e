"""The ASGI application in a server process that knows nothing of ours: uvicorn's own protocol."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.app import create_app
from serving.gate import App
from serving.settings import Settings

from .server import START_S, Server

VARIABLE = "SETTINGS_OF_THE_TESTS"
ROOT = Path(__file__).parents[2]


def app() -> App:
    """What uvicorn asks for: the application with the settings in the environment."""
    settings: dict[str, Any] = json.loads(os.environ[VARIABLE])
    models = tuple(map(Path, settings.pop("models")))
    return create_app(Settings(models=models, **settings))


@contextmanager
def asgi_serving(*models: Path, **settings: Any) -> Iterator[Server]:
    """Start uvicorn with the application, wait until it is ready, and end it afterwards."""
    given = json.dumps({"models": [str(path) for path in models], **settings})
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", f"{__name__}:app", "--factory", "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, VARIABLE: given},
    )
    server = Server(process)
    listens = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.printed.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                server.url = found[1]
                listens.set()
        listens.set()  # it has ended

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert listens.wait(START_S), f"does not listen after {START_S:g} s:\n{server.output}"
        until = time.monotonic() + START_S
        while server.get("/v2/health/ready").status_code != 200:
            assert time.monotonic() < until, f"not ready after {START_S:g} s:\n{server.output}"
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()

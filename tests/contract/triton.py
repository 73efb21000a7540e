"""Triton's four Python clients, to be called alike."""

import asyncio
import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from tests.support.server import Server

MODULES: dict[str, ModuleType] = {
    "http": tritonclient.http,
    "http-aio": tritonclient.http.aio,
    "grpc": tritonclient.grpc,
    "grpc-aio": tritonclient.grpc.aio,
}

CODES = {
    "INVALID_ARGUMENT": "400",
    "NOT_FOUND": "404",
    "PERMISSION_DENIED": "403",
    "RESOURCE_EXHAUSTED": "429",
    "UNAVAILABLE": "503",
}
"""What goes wrong, over gRPC and over HTTP."""


class Client:
    """One of the clients. What it has not itself goes to the real one, awaited where it must be."""

    def __init__(self, kind: str, server: Server, **more: Any) -> None:
        self.module = MODULES[kind]
        self.over_http = kind.startswith("http")
        self._runner = asyncio.Runner() if kind.endswith("aio") else None
        self.target = server.url.removeprefix("http://") if self.over_http else server.grpc
        self._more = more

    def __enter__(self) -> "Client":
        def make() -> Any:
            return self.module.InferenceServerClient(self.target, **self._more)

        async def make_inside() -> Any:  # they want a running loop
            return make()

        self.real = self._runner.run(make_inside()) if self._runner else make()
        return self

    def __exit__(self, *_: object) -> None:
        self._ran(self.real.close())
        if self._runner:
            self._runner.close()

    def _ran(self, result: Any) -> Any:
        if self._runner is None:
            return result

        async def awaited() -> Any:
            return await result

        with warnings.catch_warnings():
            # Over HTTP it asks for health, loads and unloads without reading the answer. Where
            # the answer's body comes after its head, that leaves a connection to the garbage
            # collector, which is made to find it here and not in some test.
            warnings.simplefilter("ignore", ResourceWarning)
            answer = self._runner.run(awaited())
            if self.over_http and (answer is None or isinstance(answer, bool)):
                gc.collect()
        return answer

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.real, name)
        return lambda *args, **more: self._ran(method(*args, **more))

    # --- what the clients call by different names

    def tensor(self, name: str, array: np.ndarray, datatype: str = "FP32", **more: Any) -> Any:
        made = self.module.InferInput(name, list(array.shape), datatype)
        made.set_data_from_numpy(array, **more)
        return made

    def wants(self, name: str, **more: Any) -> Any:
        return self.module.InferRequestedOutput(name, **more)

    def told(self, method: str, *args: Any, **more: Any) -> Any:
        """The answer of a method that tells something, as JSON has it over HTTP."""
        if not self.over_http:
            more["as_json"] = True
        return plain(getattr(self, method)(*args, **more))

    def failure(self, method: str, *args: Any, **more: Any) -> tuple[str, str]:
        """The code, by its name over gRPC, and the message that a call ends with."""
        with pytest.raises(InferenceServerException) as caught:
            getattr(self, method)(*args, **more)
        status = str(caught.value.status())
        codes = {http: name for name, http in CODES.items()}
        code = codes.get(status, status) if self.over_http else status.removeprefix("StatusCode.")
        return code, caught.value.message()


def plain(told: Any) -> Any:
    """A JSON value in which whole numbers are numbers: gRPC's clients write large ones as text.

    Names and versions are numbers nowhere but where they are keys of the same name.
    """
    if isinstance(told, list):
        return [plain(value) for value in told]
    if not isinstance(told, dict):
        return told
    return {
        key: _number(value) if key not in ("name", "version", "versions") else value
        for key, value in told.items()
    }


def _number(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    if isinstance(value, list):
        return [_number(each) for each in value]
    return plain(value)


@contextmanager
def client_to(kind: str, server: Server, **more: Any) -> Iterator[Client]:
    """A client of this kind."""
    with Client(kind, server, **more) as client:
        yield client

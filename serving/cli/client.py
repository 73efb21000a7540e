"""One server, asked over HTTP with what Python brings.

One connection serves all questions, so that the round trip that is shown is the
request's own.
"""

import http.client
import json
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from numpy.typing import NDArray

from .answers import printable
from .errors import Mistake
from .wire import Output, Target, reply_of, request_of, spec_of

Array = NDArray[Any]

PATIENCE_S = 60.0
"""How long a reply may take where the user does not say."""
GRACE_S = 1.0
"""A server that was told how long we wait says no by itself: so much longer for its words."""


class ServerFailed(Mistake):
    """What the person at the keyboard cannot put right."""

    exit_code = 1


class Reply(NamedTuple):
    """What a model answered."""

    document: dict[str, Any]
    """The reply's JSON, with all data in it."""
    outputs: list[Output]
    round_trip_s: float
    server_timing: str
    """The header; empty where there was none."""


class Client:
    """Asks one server. Every method raises Mistake, or ServerFailed where that is to blame."""

    def __init__(self, url: str, timeout_s: float | None = None) -> None:
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        self._timeout_s = timeout_s
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
            if parts.scheme not in ("http", "https") or not host:
                raise ValueError("it needs http:// or https:// and a host")
            secure = parts.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            wait_s = PATIENCE_S if timeout_s is None else timeout_s + GRACE_S
            self._connection = kind(host, port, timeout=wait_s)
        except (ValueError, http.client.InvalidURL) as error:
            raise Mistake(f"--url takes http://HOST:PORT, got {url!r}: {error}.") from error
        self._base = parts.path

    def close(self) -> None:
        self._connection.close()

    def target(self, model: str, version: str | None) -> Target:
        """The model's inputs and outputs."""
        path = f"/v2/models/{quote(model, safe='')}"
        if version:
            path += f"/versions/{version}"
        status, headers, body = self._ask("GET", path)
        if status == 404 and (names := self._names()) is not None and model not in names:
            close = get_close_matches(model, names, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            served = ", ".join(sorted(names)) or "none at all"
            raise Mistake(f"there is no model {model!r} at {self.url}; {hint}It serves {served}.")
        document = self._document(status, headers, body)
        try:
            return Target(
                path,
                *([spec_of(tensor) for tensor in document[key]] for key in ("inputs", "outputs")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._odd() from error

    def example(self, target: Target) -> dict[str, Any] | None:
        """A request body that the model answers; None if the server offers none."""
        status, _, body = self._ask("GET", f"{target.path}/example")
        if status != 200:
            return None
        try:
            document = json.loads(body)
        except ValueError:
            return None
        return document if isinstance(document, dict) and "inputs" in document else None

    def infer(
        self,
        target: Target,
        tensors: Mapping[str, Array],
        *,
        priority: int | None = None,
        as_json: bool = False,
    ) -> Reply:
        """Run the model.

        as_json: let the server write numbers as JSON, as far as JSON has them.
        """
        head, blobs = request_of(target, tensors, priority=priority, as_json=as_json)
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
        }
        if self._timeout_s is not None:
            headers["X-Request-Timeout-Ms"] = str(max(1, ceil(self._timeout_s * 1e3)))
        body = b"".join((head, *blobs))
        began = time.perf_counter()
        status, answered, reply = self._ask("POST", f"{target.path}/infer", body, headers)
        took_s = time.perf_counter() - began
        if status != 200:
            self._document(status, answered, reply)
        try:
            length = answered.get("Inference-Header-Content-Length")
            document, outputs = reply_of(reply, int(length) if length else len(reply))
        except Mistake as error:
            raise ServerFailed(error.message) from error
        except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
            raise self._odd() from error
        return Reply(document, outputs, took_s, answered.get("Server-Timing", ""))

    def _names(self) -> list[str] | None:
        status, _, body = self._ask("GET", "/v2/models")
        try:
            return [str(name) for name in json.loads(body)["models"]] if status == 200 else None
        except (ValueError, KeyError, TypeError):
            return None  # not every server of this protocol has such a list

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        try:
            # Who is refused before the whole body is sent finds the reason waiting.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.request(method, self._base + path, body, dict(headers))
            response = self._connection.getresponse()
            return response.status, response.headers, response.read()
        except ConnectionRefusedError as error:
            raise self._nobody("nothing listens there") from error
        except TimeoutError as error:
            raise ServerFailed(
                f"{self.url} gave no answer within {self._connection.timeout:g} s; "
                "--timeout SECONDS waits longer."
            ) from error
        except ConnectionError as error:
            raise ServerFailed(f"{self.url} hung up without an answer.") from error
        except http.client.HTTPException as error:
            raise ServerFailed(
                f"{self.url} does not speak HTTP as it should: {error!r}."
            ) from error
        except (OSError, UnicodeError) as error:
            raise self._nobody(getattr(error, "strerror", None) or str(error)) from error

    def _nobody(self, why: str) -> Mistake:
        return Mistake(
            f"cannot reach a server at {self.url}: {why}. "
            "Start one with `jitney serve`, or say where it is with --url."
        )

    def _odd(self) -> ServerFailed:
        return ServerFailed(
            f"{self.url} answered in a way that the Open Inference Protocol does not know."
        )

    def _document(
        self, status: int, headers: http.client.HTTPMessage, body: bytes
    ) -> dict[str, Any]:
        """The JSON object that was answered; what was refused is raised."""
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if status == 200:
            if not isinstance(document, dict):
                raise self._odd()
            return document
        told = document.get("error") if isinstance(document, dict) else None
        said = str(told) if told else http.client.responses.get(status, "no reason given")
        message = f"the server refused ({status}): {printable(said).rstrip('.')}."
        if after := headers.get("Retry-After"):
            message += f" It asks to try again in {after} s."
        ours = 400 <= status < 500 and status != 429
        raise (Mistake if ours else ServerFailed)(message)

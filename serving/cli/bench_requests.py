"""What `jitney bench` sends: the bodies in a file, or some made from what the model takes."""

import http.client
import json
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from ..bench.connection import Address, CannotConnect
from ..bench.reply import BadReply, Reply
from ..bench.request import Body, Where, bodies_of, http_requests, where
from .answers import printable
from .client import Client, ServerFailed
from .errors import Mistake
from .spec import Spec
from .values import Array, from_example, made_up
from .wire import Target, request_of

DIFFERENT = 64
"""Bodies that are made, so that no server answers all with one run."""


def requests_for(
    url: str,
    *,
    model: str | None,
    body_file: Path | None,
    binary: bool,
    rows: int,
    headers: Sequence[str],
) -> tuple[Where, list[bytes]]:
    """Where to connect, and whole HTTP requests to send in turn. Raises Mistake."""
    try:
        to = where(url)
    except ValueError as error:
        raise Mistake(
            f"URL is http://HOST:PORT/v2/models/NAME/infer, got {url!r}: {error}."
        ) from None
    asked = to.asks_a_model
    if model is not None and asked is not None:
        raise Mistake(f"{url} names a model already; leave out --model.")
    given = {name.strip(): value.strip() for name, _, value in (h.partition(":") for h in headers)}
    bodies: Iterable[Body] | None = None
    path = to.path
    if body_file is not None:
        if binary or rows > 1:
            raise Mistake(
                "--binary and --rows are for bodies that are made; --body is sent as it is."
            )
        bodies = _read(body_file)
    if model is not None or bodies is None:
        name, version = asked or (model, None)
        if name is None:
            raise Mistake(
                f"{url} names no model: say --model NAME, end it with /v2/models/NAME/infer, "
                "or say with --body what to send there."
            )
        client = Client(to.base)
        try:
            target = client.target(name, version)
            path = f"{to.path.partition('/v2')[0]}{target.path}/infer"
            bodies = bodies or _made(client, target, binary, rows)
        finally:
            client.close()
    try:
        return to, http_requests(to, path, bodies, given)
    except ValueError as error:
        raise Mistake(f"{error}.") from error


def first_answer(address: Address, request: bytes, timeout_s: float) -> None:
    """Send one request alone: what fails now would fail a million times. Raises Mistake."""
    reply, read = Reply(), b""
    until = time.monotonic() + timeout_s
    try:
        with socket.socket(address.family, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(address.to)
            connection.sendall(request)
            while not reply.done and time.monotonic() < until:
                piece = connection.recv(65536)
                if not (reply.feed(piece) if piece else reply.at_end()) and not piece:
                    raise ServerFailed("the server hung up on the first request.")
                read = (read + piece)[: 1 << 20]
    except TimeoutError:
        pass
    except OSError as error:
        raise CannotConnect(error.strerror or str(error)) from error
    except BadReply as error:
        raise ServerFailed(f"the server does not speak HTTP as it should: {error}.") from error
    if not reply.done:
        raise ServerFailed(f"the first request was not answered within {timeout_s:g} s.")
    if reply.status in (200, 429, 503, 504):
        return  # refusals are what a bench is there to count
    said = http.client.responses.get(reply.status, "")
    with suppress(ValueError, KeyError, TypeError):
        said = str(json.loads(read.partition(b"\r\n\r\n")[2])["error"])
    mistake = Mistake if 400 <= reply.status < 500 else ServerFailed
    raise mistake(f"the first request was refused ({reply.status}): {printable(said).rstrip('.')}.")


def _read(path: Path) -> list[Body]:
    try:
        return bodies_of(path)
    except OSError as error:
        raise Mistake(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise Mistake(f"{path} has nothing to send: {error}.") from error


def _made(client: Client, target: Target, binary: bool, rows: int) -> list[Body]:
    """Bodies with the model's own example, or with random numbers where it has none."""
    example: dict[str, Array] | None = None
    try:
        document = client.example(target)
        example = from_example(target.inputs, document) if document else None
    except (Mistake, KeyError, TypeError, ValueError, AttributeError):
        pass  # an example that is of no use is as good as none
    random = np.random.default_rng(0)
    bodies = []
    for number in range(DIFFERENT):
        tensors = {
            spec.name: _with_rows(spec, _varied(spec, example, number, random), rows)
            for spec in target.inputs
        }
        if binary:
            head, blobs = request_of(target, tensors, priority=None, as_json=False)
            bodies.append(Body(b"".join((head, *blobs)), len(head)))
        else:
            bodies.append(Body(_as_json(target, tensors)))
    return list(dict.fromkeys(bodies))


def _varied(
    spec: Spec, example: dict[str, Array] | None, number: int, random: np.random.Generator
) -> Array:
    """The example's numbers in another order; not whole ones: they may be places in a table."""
    if example is None:
        array = made_up([spec])[spec.name]
        return random.random(array.shape).astype(array.dtype) if array.dtype.kind == "f" else array
    array = example[spec.name]
    return np.roll(array, number, axis=-1) if array.dtype.kind == "f" and array.ndim else array


def _with_rows(spec: Spec, array: Array, rows: int) -> Array:
    if rows == 1:
        return array
    if not spec.has_rows:
        raise Mistake(f"{spec.takes()}; --rows {rows} needs inputs with any number of rows.")
    return np.repeat(array[:1], rows, axis=0)


def _as_json(target: Target, tensors: dict[str, Array]) -> bytes:
    inputs: list[dict[str, Any]] = []
    for spec in target.inputs:
        flat = tensors[spec.name].ravel()
        if spec.datatype in ("FP16", "BF16"):
            raise Mistake(
                f"{spec.name!r} is {spec.datatype}, which has no JSON form: say --binary."
            )
        data: Any = flat
        if spec.is_bytes:
            data = [element.decode(errors="replace") for element in flat.tolist()]
        shape = list(tensors[spec.name].shape)
        inputs.append({"name": spec.name, "shape": shape, "datatype": spec.datatype, "data": data})
    return orjson.dumps({"inputs": inputs}, option=orjson.OPT_SERIALIZE_NUMPY)

"""Everybody at once, for `watch.py`: users of all models, some who ask wrongly, some who leave.

A wrong request must be answered with the right no: a status of its own and `{"error": …}`.
"""

import json
import random
import socket
import struct
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

import locustfile
from locust import FastHttpUser, constant, task
from locustfile import IMAGE, CheckingUser, Shapes, Values
from make_perceptron import DEFAULT as PERCEPTRON
from peers.questions import ANSWERED, questions
from tensors import JSON_LENGTH, expect

# locust takes who it finds in this file: all users of that one too, and its shape.
globals().update({name: each for name, each in vars(locustfile).items() if isinstance(each, type)})

QUESTIONS = questions(PERCEPTRON)


class PerceptronUser(CheckingUser):
    """Rows of numbers, whose answers numpy has computed too."""

    abstract = True
    model = "perceptron"

    def ask_rows(self, rows: int, as_json: bool) -> None:
        chosen = random.choices(range(ANSWERED), k=rows)

        def check(values: Values, shapes: Shapes) -> None:
            expect("shape", shapes, {"y": [rows, QUESTIONS.wanted.shape[1]]})
            width = QUESTIONS.wanted.shape[1]
            for place, number in enumerate(chosen):
                row = values["y"][place * width :][:width]
                expect("the row's answer", QUESTIONS.are_answered_by(row, number), True)

        sent = QUESTIONS.rows[chosen]
        tensor = {"name": "x", "shape": list(sent.shape), "datatype": "FP32"}
        if as_json:
            self.ask("JSON", [tensor | {"data": sent.ravel().tolist()}], None, check)
        else:
            self.ask("binary", [tensor], sent.astype("<f4").tobytes(), check)


class PerceptronAsJson(PerceptronUser):
    """One row."""

    weight = 2

    @task
    def ask_a_row(self) -> None:
        self.ask_rows(1, as_json=True)


class PerceptronAsBinary(PerceptronUser):
    """Some rows."""

    weight = 2

    @task
    def ask_some_rows(self) -> None:
        self.ask_rows(random.randint(1, 8), as_json=False)


def _digits(**changed: object) -> bytes:
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": IMAGE} | changed
    return json.dumps({"inputs": [tensor]}).encode()


BINARY = _digits(data=None, parameters={"binary_data_size": 256}).replace(b'"data": null, ', b"")

WRONG = {
    "no JSON": ("digits", b"image=7", {}, 400),
    "no end": ("digits", _digits()[:-40], {}, 400),
    "too few numbers": ("digits", _digits(data=IMAGE[:-1]), {}, 400),
    "a wrong shape": ("digits", _digits(shape=[1, 63], data=IMAGE[:-1]), {}, 400),
    "a wrong type": ("digits", _digits(datatype="INT64"), {}, 400),
    "no such input": ("digits", _digits(name="picture"), {}, 400),
    "no such model": ("nobody", _digits(), {}, 404),
    "too deep": ("digits", b"[" * 5000, {}, 400),
    "bytes missing": ("digits", BINARY + bytes(100), {JSON_LENGTH: str(len(BINARY))}, 400),
}
"""Model, body, headers, and the status that it must get."""


class AsksWrongly(FastHttpUser):
    """Each mistake in turn."""

    weight = 1
    wait_time = constant(0.01)

    @task
    def ask_wrongly(self) -> None:
        what = random.choice(list(WRONG))
        model, body, headers, status = WRONG[what]
        with self.client.post(
            f"/v2/models/{model}/infer",
            data=body,
            headers={"Content-Type": "application/json", **headers},
            name="wrong requests",
            catch_response=True,
        ) as response:
            try:
                said = json.loads(response.content or b"")
            except ValueError:
                said = None
            if response.status_code != status:
                response.failure(f"{what}: status {response.status_code}, not {status}")
            elif not isinstance(said, dict) or list(said) != ["error"]:
                response.failure(f"{what}: the error is not what errors are")
            else:
                response.success()


class Leaves(FastHttpUser):
    """Hangs up in the middle of its request, or before the answer."""

    weight = 1
    wait_time = constant(0.05)

    @task
    def leave(self) -> None:
        server = urlsplit(self.host)
        body = _digits()
        head = f"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
        request = head.encode() + b"\r\n\r\n" + body
        began = time.perf_counter()
        error: Exception | None = None
        try:
            with socket.create_connection((server.hostname, server.port), 10) as connection:
                # Without this a closed connection says goodbye; with it, it is gone.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(request[: random.choice((20, len(request) // 2, len(request)))])
        except OSError as raised:
            error = raised
        self.environment.events.request.fire(
            request_type="POST",
            name="callers who leave",
            response_time=1e3 * (time.perf_counter() - began),
            response_length=0,
            exception=error,
            context={},
        )

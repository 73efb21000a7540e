"""Users of the shipped models and of two real ones, who check their answers.

A status of 200 with another model's answer in it, or another caller's, counts as
a failure here. Run by `run.py`; also by hand, with a page:

    make load-page
    locust -f load_tests/locustfile.py --class-picker --host http://127.0.0.1:8000

How many users there are at what time is a shape (shapes.py): the variable SHAPE names
it, USERS is the most of them, SECONDS how long. MODELS names those whose users come.
Without them, locust's own options, or its page, say so.
"""

import json
import os
import random
import struct
import tomllib
from collections.abc import Callable
from itertools import count
from math import isclose
from pathlib import Path
from typing import Any

import shapes
from locust import FastHttpUser, LoadTestShape, constant, events, task
from locust.env import Environment
from locust.stats import print_error_report
from tensors import JSON_LENGTH, Wrong, expect, read, text_bytes

ZOO = Path(__file__).parent.parent / "models" / "zoo"
IMAGE = tomllib.loads((ZOO / "digits" / "model.toml").read_text())["example"]["image"]
FLOWER = tomllib.loads((ZOO / "iris" / "model.toml").read_text())["example"]

# What the models' cards say of those examples.
DIGIT, SPECIES = 7, "versicolor"

PROGRAM = "import os\n\n\ndef here():\n    return os.getcwd()\n"
WORDS = ["a", "jitney", "is", "small", "bus", "that", "leaves", "when", "leaving", "pays"]
VECTOR = 384

Values = dict[str, list[Any]]
Shapes = dict[str, list[int]]

ids = count()


@events.quitting.add_listener
def say_what_failed(environment: Environment, **_: object) -> None:
    """Where its final statistics go to a file, locust leaves the failures out of what it prints."""
    if environment.parsed_options.json_file:
        print_error_report(environment.stats)


class CheckingUser(FastHttpUser):
    """Asks again as soon as it has its answer."""

    abstract = True
    wait_time = constant(0)
    model = ""

    def ask(
        self,
        form: str,
        inputs: list[dict[str, Any]],
        binary: bytes | None,
        check: Callable[[Values, Shapes], None],
    ) -> None:
        """Send a request and check all of its reply.

        binary: the bytes of the only input, if it goes as bytes. check: gets each output's
        values and shape, and raises Wrong.
        """
        request: dict[str, Any] = {"id": f"request {next(ids)}", "inputs": inputs}
        headers = {"Content-Type": "application/json"}
        if binary is not None:
            inputs[0]["parameters"] = {"binary_data_size": len(binary)}
            request["parameters"] = {"binary_data_output": True}
        body = json.dumps(request).encode()
        if binary is not None:
            headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(body))}
            body += binary
        with self.client.post(
            f"/v2/models/{self.model}/infer",
            data=body,
            headers=headers,
            name=f"{self.model}, {form}",
            catch_response=True,
        ) as response:
            if response.status_code != 200:
                response.failure(
                    f"status {response.status_code}" if response.status_code else "no answer"
                )
                return
            try:
                json_length = response.headers.get(JSON_LENGTH)
                expect("the reply's form", json_length is not None, binary is not None)
                reply, values = read(response.content, json_length)
                expect("id", reply["id"], request["id"])
                expect("model_name", reply["model_name"], self.model)
                check(values, {output["name"]: output["shape"] for output in reply["outputs"]})
            except Wrong as error:
                response.failure(str(error))
            except (KeyError, TypeError, ValueError, struct.error) as error:
                response.failure(f"unreadable reply: {type(error).__name__}")


def classified(rows: int, classes: int, name: str, answer: Any) -> Callable[[Values, Shapes], None]:
    """What the shipped models must answer: how sure they are, and the same class for each row."""

    def check(values: Values, shapes: Shapes) -> None:
        expect("shape", shapes, {"probabilities": [rows, classes], name: [rows]})
        expect(name, values[name], [answer] * rows)
        total = sum(values["probabilities"])
        expect("sum of probabilities", isclose(total, rows, rel_tol=1e-3), True)

    return check


def text_input(name: str, texts: list[str], as_json: bool) -> dict[str, Any]:
    """An input of BYTES, with its data if that is JSON."""
    tensor = {"name": name, "shape": [len(texts)], "datatype": "BYTES"}
    return {**tensor, "data": texts} if as_json else tensor


class DigitsAsJson(CheckingUser):
    """One image a request, as JSON: what a first attempt with curl sends."""

    weight = 3
    model = "digits"

    @task
    def read_a_digit(self) -> None:
        image = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": IMAGE}
        self.ask("JSON", [image], None, classified(1, 10, "digit", DIGIT))


class DigitsAsBinary(CheckingUser):
    """A few images a request, as bytes both ways: what a client library sends."""

    weight = 2
    model = "digits"

    @task
    def read_some_digits(self) -> None:
        rows = random.randint(1, 8)
        image = {"name": "image", "shape": [rows, 64], "datatype": "FP32"}
        binary = struct.pack(f"<{64 * rows}f", *IMAGE * rows)
        self.ask("binary", [image], binary, classified(rows, 10, "digit", DIGIT))


class IrisAsJson(CheckingUser):
    """Two inputs, and text in the answer."""

    weight = 1
    model = "iris"

    @task
    def name_a_flower(self) -> None:
        inputs = [
            {"name": name, "shape": [1, 2], "datatype": "FP32", "data": values}
            for name, values in FLOWER.items()
        ]
        self.ask("JSON", inputs, None, classified(1, 3, "species", SPECIES))


class MagikaUser(CheckingUser):
    """Files of some length, all of them Python: a model that gains nothing from batches."""

    abstract = True
    model = "magika"

    def name_a_type(self, as_json: bool) -> None:
        def check(values: Values, shapes: Shapes) -> None:
            expect("shape", shapes, {"label": [1], "score": [1]})
            expect("label", values["label"], ["python"])

        files = [PROGRAM * random.randint(1, 20)]
        form, binary = ("JSON", None) if as_json else ("binary", text_bytes(files))
        self.ask(form, [text_input("content", files, as_json)], binary, check)


class MagikaAsJson(MagikaUser):
    """As JSON, which can hold files that are text."""

    weight = 1

    @task
    def name_a_type_in_json(self) -> None:
        self.name_a_type(as_json=True)


class MagikaAsBinary(MagikaUser):
    """As bytes."""

    weight = 1

    @task
    def name_a_type_in_bytes(self) -> None:
        self.name_a_type(as_json=False)


class TextUser(CheckingUser):
    """Sentences of natural lengths, most short and some long, whose vectors must be one long."""

    abstract = True
    model = "minilm"

    def embed(self, rows: int, as_json: bool) -> None:
        def check(values: Values, shapes: Shapes) -> None:
            expect("shape", shapes, {"embedding": [rows, VECTOR]})
            for begin in range(0, rows * VECTOR, VECTOR):
                square = sum(value * value for value in values["embedding"][begin:][:VECTOR])
                expect("length of the vector", isclose(square, 1, rel_tol=1e-3), True)

        lengths = (min(200, 1 + int(random.lognormvariate(2.7, 0.75))) for _ in range(rows))
        texts = [" ".join(random.choices(WORDS, k=length)) for length in lengths]
        form, binary = ("JSON", None) if as_json else ("binary", text_bytes(texts))
        self.ask(form, [text_input("text", texts, as_json)], binary, check)


class TextAsJson(TextUser):
    """A sentence a request."""

    weight = 2

    @task
    def embed_a_sentence(self) -> None:
        self.embed(1, as_json=True)


class TextAsBinary(TextUser):
    """A few a request, and vectors as bytes."""

    weight = 1

    @task
    def embed_some_sentences(self) -> None:
        self.embed(random.randint(1, 4), as_json=False)


if SHAPE := os.environ.get("SHAPE"):

    class Shape(LoadTestShape):
        """So many users at each time."""

        def tick(self) -> tuple[int, float] | None:
            most = int(os.environ["USERS"])
            share = shapes.SHAPES[SHAPE](self.get_run_time() / float(os.environ["SECONDS"]))
            # There, or gone, as fast as can be: the shape is the only one to say how many.
            return None if share is None else (max(1, round(share * most)), 100.0)


if MODELS := os.environ.get("MODELS"):
    for kind in list(globals().values()):
        if isinstance(kind, type) and issubclass(kind, CheckingUser) and not kind.abstract:
            kind.abstract = kind.model not in MODELS.split(",")

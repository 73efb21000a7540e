"""Users of the shipped models, who check their answers.

A status of 200 with another model's answer in it, or another caller's, counts as
a failure here. Run by `run.py`; also by hand:

    locust -f load_tests/locustfile.py --host http://127.0.0.1:8000
"""

import json
import random
import struct
import tomllib
from itertools import count
from math import isclose, prod
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant, events, task
from locust.env import Environment
from locust.stats import print_error_report

ZOO = Path(__file__).parent.parent / "models" / "zoo"
IMAGE = tomllib.loads((ZOO / "digits" / "model.toml").read_text())["example"]["image"]
FLOWER = tomllib.loads((ZOO / "iris" / "model.toml").read_text())["example"]

# What the models' cards say of those examples.
DIGIT, SPECIES = 7, "versicolor"

JSON_LENGTH = "Inference-Header-Content-Length"
FORMATS = {"FP32": "f", "INT64": "q"}

ids = count()


@events.quitting.add_listener
def say_what_failed(environment: Environment, **_: object) -> None:
    """Where its final statistics go to a file, locust leaves the failures out of what it prints."""
    if environment.parsed_options.json_file:
        print_error_report(environment.stats)


class Wrong(Exception):
    """An answer that is not the one to this request."""


def expect(what: str, got: object, expected: object) -> None:
    """Say what is wrong, without a value that differs by request: locust counts by text."""
    if got != expected:
        raise Wrong(f"{what} is not what was asked for")


def read(content: bytes, json_length: str | None) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """A reply's JSON, and each output's values, whether they came as JSON or as bytes."""
    end = int(json_length) if json_length else len(content)
    reply, binary = json.loads(content[:end]), content[end:]
    values = {}
    for output in reply["outputs"]:
        if size := output.get("parameters", {}).get("binary_data_size"):
            code, size_each = FORMATS[output["datatype"]], 8 if output["datatype"] == "INT64" else 4
            values[output["name"]] = list(
                struct.unpack(f"<{size // size_each}{code}", binary[:size])
            )
            binary = binary[size:]
        else:
            values[output["name"]] = output["data"]
        expect("number of values", len(values[output["name"]]), prod(output["shape"]))
    expect("length of the binary data", len(binary), 0)
    return reply, values


class ZooUser(FastHttpUser):
    """Asks again as soon as it has its answer."""

    abstract = True
    wait_time = constant(0)

    def ask(
        self,
        name: str,
        model: str,
        request: dict[str, Any],
        binary: bytes | None,
        rows: int,
        classes: int,
        answer: tuple[str, Any],
    ) -> None:
        """Send a request and check all of its reply.

        classes: how many probabilities a row has. answer: an output's name and its
        value, the same for each row.
        """
        request["id"] = f"request {next(ids)}"
        body = json.dumps(request).encode()
        headers = {"Content-Type": "application/json"}
        if binary is not None:
            headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(body))}
            body += binary
        with self.client.post(
            f"/v2/models/{model}/infer", data=body, headers=headers, name=name, catch_response=True
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
                expect("model_name", reply["model_name"], model)
                shapes = {output["name"]: output["shape"] for output in reply["outputs"]}
                expect("shape", shapes, {"probabilities": [rows, classes], answer[0]: [rows]})
                expect(answer[0], values[answer[0]], [answer[1]] * rows)
                total = sum(values["probabilities"])
                expect("sum of probabilities", isclose(total, rows, rel_tol=1e-3), True)
            except Wrong as error:
                response.failure(str(error))
            except (KeyError, TypeError, ValueError, struct.error) as error:
                response.failure(f"unreadable reply: {type(error).__name__}")


class DigitsAsJson(ZooUser):
    """One image a request, as JSON: what a first attempt with curl sends."""

    weight = 3

    @task
    def read_a_digit(self) -> None:
        image = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": IMAGE}
        self.ask("digits, JSON", "digits", {"inputs": [image]}, None, 1, 10, ("digit", DIGIT))


class DigitsAsBinary(ZooUser):
    """A few images a request, as bytes both ways: what a client library sends."""

    weight = 2

    @task
    def read_some_digits(self) -> None:
        rows = random.randint(1, 8)
        binary = struct.pack(f"<{64 * rows}f", *IMAGE * rows)
        image = {
            "name": "image",
            "shape": [rows, 64],
            "datatype": "FP32",
            "parameters": {"binary_data_size": len(binary)},
        }
        request = {"inputs": [image], "parameters": {"binary_data_output": True}}
        self.ask("digits, binary", "digits", request, binary, rows, 10, ("digit", DIGIT))


class IrisAsJson(ZooUser):
    """Two inputs, and text in the answer."""

    weight = 1

    @task
    def name_a_flower(self) -> None:
        inputs = [
            {"name": name, "shape": [1, 2], "datatype": "FP32", "data": values}
            for name, values in FLOWER.items()
        ]
        self.ask("iris, JSON", "iris", {"inputs": inputs}, None, 1, 3, ("species", SPECIES))

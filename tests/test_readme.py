"""What the README says is what is so."""

import asyncio
import json
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from batching import Batcher
from models import ModelConfig
from serving.settings import readme_table
from tests.support.server import free_port, serving

README = (Path(__file__).parents[1] / "README.md").read_text()
CLIENT = (Path(__file__).parents[1] / "serving" / "client" / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_its_table_of_settings_is_made_from_the_settings():
    (table,) = re.findall(r"<!-- settings.*?-->\n(.*?)\n<!-- /settings -->", README, re.DOTALL)

    assert table == readme_table()


def test_its_table_of_model_settings_names_every_key_once():
    table = README.split("What a `model.toml` may say")[1].split("##")[0]
    keys = re.findall(r"^\| `\[*(\w+)\]*` \|", table, re.MULTILINE)

    assert keys == [key.name for key in fields(ModelConfig)]


def test_its_first_request_gets_the_answer_that_it_shows():
    command = shlex.split(next(block for block in blocks("sh") if block.startswith("curl")))
    body = command[command.index("-d") + 1]
    (shown,) = map(json.loads, blocks("json"))

    with serving() as server:
        path = command[2].split(":8000")[1]
        reply = server.post(path, content=body).json()

    assert reply["model_name"] == shown["model_name"]
    for output, expected in zip(reply["outputs"], shown["outputs"], strict=True):
        assert output["data"] == pytest.approx(expected["data"], abs=1e-6)
        assert {**output, "data": 0} == {**expected, "data": 0}


async def test_its_example_of_the_library_works():
    (example,) = (block for block in blocks("python") if "Batcher" in block)
    body = "".join(f"    {line}\n" for line in example.splitlines() if "import" not in line)
    scope: dict[str, object] = {"Batcher": Batcher}
    exec(f"async def run():\n{body}    return nine", scope)

    assert await scope["run"]() == 9  # type: ignore[operator]


def test_its_example_of_grpc_works():
    (example,) = (block for block in blocks("python") if "triton" in block)
    scope: dict[str, Any] = {}
    with serving("--grpc-port", str(free_port())) as server:
        exec(example.replace("127.0.0.1:8001", server.grpc), scope)
        scope["client"].close()

    assert scope["digit"].shape == (1,)


def test_the_files_it_points_to_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target


def test_its_examples_of_the_client_work():
    (blocking,) = (block for block in blocks("python") if "serving.client" in block)
    same, awaiting = blocks("python", CLIENT)
    printed: list[tuple[object, ...]] = []
    scope: dict[str, Any] = {"print": lambda *words: printed.append(words)}
    # Its times are right for a machine that does nothing else.
    patient = re.sub(r"timeout_s=[\d.]+", "timeout_s=30", blocking)
    with serving() as server:
        exec(patient.replace("http://127.0.0.1:8000", server.url), scope)
        exec(awaiting.replace("http://127.0.0.1:8000", server.url), scope)

        async def taken() -> list[Any]:
            rows = ({"image": [[n] * 64]} for n in range(10))
            return [answer async for answer in scope["predict"](rows)]

        answers = asyncio.run(taken())

    assert blocking == same
    assert len(printed) >= 1001
    assert [answer.index for answer in answers] == list(range(10))
    assert all(answer["digit"].shape == (1,) for answer in answers)

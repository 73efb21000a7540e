"""Lesson 27: what is remembered of a request never gives a caller another model's answer."""

import json
from pathlib import Path

import pytest

from models import find_models
from serving.engine import Engine
from serving.settings import Settings
from tests.support import wire
from tests.support.door import listening, post
from tests.support.onnx_models import scaler


@pytest.fixture
async def connection(tmp_path: Path):
    """Two models, one of them in two versions, which multiply by a number each."""
    for name, version, factor in (("two", 1, 2), ("three", 1, 3), ("three", 2, 5)):
        folder = tmp_path / name / str(version)
        folder.mkdir(parents=True)
        scaler(folder / "model.onnx", factor=factor)
    (tmp_path / "three" / "model.toml").write_text('versions = "all"\n')
    settings = Settings(models=(tmp_path,), profile_budget_s=0.1)
    engine = Engine(find_models(settings.models), settings)
    engine.start()
    await engine.loaded()
    try:
        async with listening(engine) as server:
            yield await server.connect()
    finally:
        await engine.stop()


async def test_the_same_bytes_are_answered_by_the_model_and_version_that_were_asked(connection):
    """Lesson 27: model, version and content; and the id is each request's own."""
    body = json.loads(wire.request(wire.tensor(shape=[1, 4], data=[1, 2, 3, 4])))
    asked = {"two": 2, "three": 5, "three/versions/1": 3, "three/versions/2": 5}
    for turn in range(4):
        for path, factor in asked.items():
            text = json.dumps({**body, "id": f"turn {turn}"}).encode()
            connection.send(post(text, path=f"/v2/models/{path}/infer"))
            status, _, answer = await connection.reply()

            said = json.loads(answer)
            assert status == 200, answer
            assert said["model_name"] == path.split("/")[0]
            assert said["id"] == f"turn {turn}"
            assert said["outputs"][0]["data"] == [factor * n for n in (1, 2, 3, 4)]

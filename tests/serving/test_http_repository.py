"""The index of the repository, loading and unloading over HTTP."""

import pytest

from tests.support import onnx_models, wire
from tests.support.asgi import Caller, client, door, error_of, loaded

INDEX = "/v2/repository/index"
LOAD = "/v2/repository/models/twice/load"
UNLOAD = "/v2/repository/models/twice/unload"
READY = {"name": "twice", "version": "1", "state": "READY"}
X = wire.request(wire.tensor(shape=[1, 4], data=[1] * 4))


@pytest.fixture
async def session(tmp_path):
    """A client of a server with one model, `twice`, that may be loaded and unloaded."""
    onnx_models.doubler(tmp_path / "twice" / "1" / "model.onnx")
    async with loaded(tmp_path, admin=True) as engine, client(door(engine)) as session:
        yield session


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready":true}', b'{"ready":false,"more":1}'])
async def test_the_index(session, body):
    reply = await session.post(INDEX, content=body)
    assert (reply.status_code, reply.json()) == (200, [READY])


async def test_the_index_of_what_is_ready_leaves_out_what_is_not(session):
    await session.post(UNLOAD)

    (entry,) = (await session.post(INDEX)).json()
    assert entry["state"] in ("UNLOADING", "UNAVAILABLE")
    assert entry["reason"]
    assert (await session.post(INDEX, content=b'{"ready":true}')).json() == []


@pytest.mark.parametrize("body", [b"", b"{}", b'{"parameters":{}}'])
async def test_load(session, body):
    reply = await session.post(LOAD, content=body)
    assert (reply.status_code, reply.json()) == (200, {"name": "twice", "load": True})


@pytest.mark.parametrize("body", [b"", b'{"parameters":{"unload_dependents":true}}'])
async def test_unload_and_load_again(session, body):
    reply = await session.post(UNLOAD, content=body)
    assert (reply.status_code, reply.json()) == (200, {"name": "twice", "unload": True})
    assert (await session.post("/v2/models/twice/infer", content=X)).status_code == 503
    assert (await session.post(LOAD)).status_code == 200
    assert (await session.post("/v2/models/twice/infer", content=X)).status_code == 200


async def test_a_reload_that_fails_leaves_the_old_one_serving(tmp_path):
    """Lesson 21."""
    path = onnx_models.doubler(tmp_path / "twice" / "1" / "model.onnx")
    async with loaded(tmp_path, admin=True) as engine, client(door(engine)) as session:
        path.write_bytes(b"not a model")
        refused = await session.post(LOAD)
        answer = await session.post("/v2/models/twice/infer", content=X)

    assert refused.status_code == 400
    assert "cannot be loaded" in error_of(refused)
    assert str(tmp_path) not in refused.text
    assert answer.status_code == 200


async def test_nothing_is_loaded_or_unloaded_without_the_switch(tmp_path):
    """Lesson 28."""
    onnx_models.doubler(tmp_path / "twice" / "1" / "model.onnx")
    async with loaded(tmp_path) as engine, client(door(engine)) as session:
        for path in (LOAD, UNLOAD, LOAD.replace("twice", "none")):
            reply = await session.post(path)
            assert reply.status_code == 403
            assert "--admin" in error_of(reply)
        assert (await session.post(INDEX)).json() == [READY]


# --- abuse


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        (INDEX, b'{"ready":1}', "ready: expected true or false"),
        (INDEX, b'{"ready":null}', "ready: expected true or false"),
        (INDEX, b"[]", "expected a JSON object"),
        (INDEX, b"{", "not JSON"),
        (INDEX, b"\xff", "not JSON"),
        (INDEX, b"[" * 100_000, "not JSON"),
        (LOAD, b'{"parameters":[]}', "parameters: expected an object"),
        (LOAD, b'{"parameters":{"config":"{}"}}', "parameters.config: models and their settings"),
        (LOAD, b'{"parameters":{"file:1/model.onnx":""}}', "parameters.file:1/model.onnx: "),
        (LOAD, b'{"parameters":{"colour":1}}', "parameters.colour: not known"),
        (UNLOAD, b'{"parameters":{"unload_dependents":1}}', "expected true or false"),
        (UNLOAD, b'{"parameters":{"colour":1}}', "parameters.colour: not known"),
    ],
)
async def test_a_wrong_body_is_named(session, path, body, says):
    """Lessons 24 and 26."""
    reply = await session.post(path, content=body)

    assert reply.status_code == 400
    assert says in error_of(reply)
    assert (await session.post(INDEX)).json() == [READY]


@pytest.mark.parametrize("name", ["none", "..", "%2e%2e", "...", "%20", "a\\b", "n" * 50_000])
async def test_only_what_is_in_the_repository_can_be_loaded(session, name):
    """Lesson 28: no name leads out of the repository."""
    for what in ("load", "unload"):
        reply = await session.post(f"/v2/repository/models/{name}/{what}")
        assert reply.status_code == 404
        assert len(error_of(reply)) <= 1001


async def test_a_body_is_bounded_whatever_it_announces(tmp_path):
    """Lesson 28."""
    path = onnx_models.doubler(tmp_path / "twice.onnx")
    async with (
        loaded(path, max_body_mib=0.001) as engine,
        Caller(door(engine), INDEX) as caller,
    ):
        for _ in range(3):
            caller.send(b" " * 1000, more=True)
        reply = await caller.reply()

    assert reply.status_code == 413
    assert "larger than" in error_of(reply)


async def test_a_compressed_body_is_not_read(session):
    reply = await session.post(INDEX, content=b"", headers={"content-encoding": "gzip"})
    assert reply.status_code == 415

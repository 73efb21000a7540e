"""What the server tells about itself and its models, and how ready they are."""

import pytest
import pytest_asyncio
from onnx import TensorProto

from models import BadModel, find_models
from serving.engine import Engine
from serving.settings import Settings
from serving.version import VERSION
from tests.support import onnx_models, wire
from tests.support.asgi import client, door, error_of, loaded

X = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(tmp_path_factory):
    """A client of a server with one model, `twice`."""
    path = onnx_models.doubler(tmp_path_factory.mktemp("models") / "twice.onnx")
    async with loaded(path) as engine, client(door(engine)) as session:
        yield session


async def test_the_server_lists_no_extension_that_it_has_not(session):
    """Clients call what they find here."""
    assert (await session.get("/v2")).json() == {
        "name": "jitney",
        "version": VERSION,
        "extensions": [
            "binary_tensor_data",
            "classification",
            "schedule_policy",
            "model_repository",
            "model_repository(unload_dependents)",
            "model_configuration",
            "statistics",
        ],
    }


async def test_all_models(session):
    assert (await session.get("/v2/models")).json() == {"models": ["twice"]}


@pytest.mark.parametrize("path", ["/v2/models/twice", "/v2/models/twice/versions/1"])
async def test_what_a_model_takes_and_gives(session, path):
    assert (await session.get(path)).json() == {
        "name": "twice",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [X],
        "outputs": [{**X, "name": "y"}],
    }


async def test_axes_of_any_size_are_minus_one_and_strings_are_bytes(tmp_path):
    shape: list[str | int | None] = ["batch", None, 3, "n"]
    path = onnx_models.identity(tmp_path / "texts.onnx", TensorProto.STRING, shape)
    async with loaded(path) as engine, client(door(engine)) as session:
        told = (await session.get("/v2/models/texts")).json()["inputs"]

    assert told == [{"name": "x", "datatype": "BYTES", "shape": [-1, -1, 3, -1]}]


async def test_a_server_whose_models_answer_is_live_and_ready(session):
    for path, says in (
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/twice/ready", {"name": "twice", "ready": True}),
        ("/v2/models/twice/versions/1/ready", {"name": "twice", "ready": True}),
    ):
        reply = await session.get(path)
        assert (reply.status_code, reply.json()) == (200, says)
        assert reply.headers["content-type"] == "application/json"


async def not_ready(engine: Engine, reason: str) -> None:
    """Live, known, and not ready, for this reason; inference and metadata say so too."""
    body = wire.request(wire.tensor(shape=[1, 4], data=[1] * 4))
    async with client(door(engine)) as session:
        assert (await session.get("/v2/health/live")).json() == {"live": True}
        assert (await session.get("/v2/models")).json() == {"models": ["twice"]}
        server = await session.get("/v2/health/ready")
        model = await session.get("/v2/models/twice/ready")
        metadata = await session.get("/v2/models/twice")
        answer = await session.post("/v2/models/twice/infer", content=body)
    assert [r.status_code for r in (server, model, metadata, answer)] == [503] * 4
    assert server.json()["ready"] is False
    assert model.json()["ready"] is False
    for told in (server.json()["error"], model.json()["error"]):
        assert reason in told
    for refused in (metadata, answer):
        assert error_of(refused).startswith("model 'twice' is not ready: ")
        assert reason in error_of(refused)


async def test_a_model_that_is_being_loaded(tmp_path):
    sources = find_models([onnx_models.doubler(tmp_path / "twice.onnx")])

    await not_ready(Engine(sources, Settings()), "loading")


async def test_a_model_that_could_not_be_loaded(tmp_path):
    path = tmp_path / "twice.onnx"
    path.write_bytes(b"not a model")
    engine = Engine(find_models([path]), Settings())
    engine.start()
    with pytest.raises(BadModel):
        await engine.loaded()

    await not_ready(engine, "cannot be loaded")

    await engine.stop()


async def test_a_model_whose_batcher_has_died_turns_readiness_red(tmp_path):
    """Lesson 4."""
    async with loaded(onnx_models.doubler(tmp_path / "twice.onnx")) as engine:
        await engine.deployments["twice"].batcher.close()
        async with client(door(engine)) as session:
            server = await session.get("/v2/health/ready")
            model = await session.get("/v2/models/twice/ready")

    assert server.status_code == model.status_code == 503
    assert model.json() == {"name": "twice", "ready": False, "error": "its batcher has died"}


# --- abuse

UNKNOWN = ["/v2/models/none{}", "/v2/models/twice/versions/2{}", "/v2/models/%2e%2e{}"]


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("what", ["", "/ready"])
async def test_a_model_or_version_that_is_not_there(session, path, what):
    """Lesson 25: never `detail`."""
    reply = await session.get(path.format(what))

    assert reply.status_code == 404
    assert "not found" in error_of(reply)


@pytest.mark.parametrize("version", ["x", "-1", "1.0", "1x", "%31%0a", "%d9%a3", "9" * 2000 + "x"])
@pytest.mark.parametrize("what", ["", "/ready"])
async def test_a_version_that_is_no_number(session, version, what):
    """Lesson 25."""
    reply = await session.get(f"/v2/models/twice/versions/{version}{what}")

    assert reply.status_code in (400, 404)
    assert error_of(reply)


@pytest.mark.parametrize(
    "path", ["/nope", "/v2/", "/v2/none", "/v2/health", "/v2/models/", "/v2/models/twice/", "/v1"]
)
async def test_a_path_that_is_not_there(session, path):
    """Lesson 25."""
    reply = await session.get(path)

    assert reply.status_code == 404
    assert error_of(reply) == "Not Found"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize(
    "path", ["/v2", "/v2/health/ready", "/v2/models", "/v2/models/twice/ready"]
)
async def test_another_method(session, method, path):
    """Lesson 25."""
    reply = await session.request(method, path)

    assert reply.status_code == 405
    assert reply.headers["allow"] == "GET, HEAD"
    assert error_of(reply) == "Method Not Allowed"


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/twice/config", "/docs"]
)
async def test_head_is_get_without_the_body(session, path):
    """Load balancers probe so."""
    head, get = await session.head(path), await session.get(path)

    assert head.status_code == get.status_code == 200
    assert head.content == b""
    assert head.headers == get.headers


async def test_head_of_what_is_not_there_or_takes_post_only(session):
    assert (await session.head("/v2/nothing")).status_code == 404
    assert (await session.head("/v2/models/twice/infer")).status_code == 405


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v2/systemsharedmemory/status", "no shared memory"),
        ("/v2/cudasharedmemory/region/r/register", "no shared memory"),
        ("/v2/logging", "cannot be set"),
        ("/v2/trace/setting", "no trace settings"),
        ("/v2/models/twice/trace/setting", "no trace settings"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_of_the_protocol_is_not_implemented_says_so(session, method, path, says):
    reply = await session.request(method, path)

    assert reply.status_code == 404
    assert says in error_of(reply)


async def test_a_name_of_many_kilobytes_does_not_come_back(session):
    reply = await session.get("/v2/models/" + "n" * 50_000)

    assert reply.status_code == 404
    assert len(error_of(reply)) <= 1001

"""One inference request over HTTP: through the gate, and through the same route behind it."""

import json
import re

import httpx
import numpy as np
import pytest
import pytest_asyncio
from onnx import TensorProto

from tests.support import onnx_models, wire
from tests.support.asgi import Caller, client, door, error_of, loaded

TWICE = "/v2/models/twice/infer"
BODY = wire.request(wire.tensor(shape=[1, 4], data=[1, 2, 3, 4]), id="7")
WRONG_HEADER = "Inference-Header-Content-Length"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["gate", "route"])
async def app(request, tmp_path_factory):
    """A model that doubles and one that fails for some inputs, behind either door."""
    folder = tmp_path_factory.mktemp("models")
    paths = onnx_models.doubler(folder / "twice.onnx"), onnx_models.gatherer(folder / "t.onnx")
    async with loaded(*paths, max_body_mib=0.001) as engine:
        yield door(engine, gate=request.param == "gate")


async def post(app, path: str = TWICE, content=BODY, **headers: str) -> httpx.Response:
    async with client(app) as session:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await session.post(path, content=content, headers=named)


@pytest.mark.parametrize("path", [TWICE, "/v2/models/twice/versions/1/infer", TWICE + "?x=1"])
async def test_an_answer(app, path):
    reply = await post(app, path)

    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in reply.headers
    output = {"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2, 4, 6, 8]}
    assert reply.json() == {
        "model_name": "twice",
        "model_version": "1",
        "id": "7",
        "outputs": [output],
    }


async def test_an_answer_as_bytes(app):
    text = wire.request(
        wire.binary_tensor("FP32", [1, 4], 16), parameters={"binary_data_output": True}
    )
    body, length = wire.followed(text, np.arange(4, dtype="<f4").tobytes())

    reply = await post(app, content=body, inference_header_content_length=str(length))

    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    (output,) = json.loads(reply.content[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 16}
    assert np.frombuffer(reply.content[length:], "<f4").tolist() == [0, 2, 4, 6]


async def test_the_content_type_of_a_request_says_nothing(app):
    for content_type in ("application/octet-stream", "text/plain", "application/json"):
        assert (await post(app, content_type=content_type)).status_code == 200


async def test_server_timing_tells_where_the_time_went(app):
    """Lesson 12."""
    timing = (await post(app)).headers["server-timing"]

    assert re.fullmatch(
        r"(queue|run|encode);dur=\d+\.\d{3}(, (run|encode);dur=\d+\.\d{3}){2}, batch;desc=1", timing
    )


async def test_a_percent_encoded_name(app):
    assert (await post(app, "/v2/models/%74wic%65/infer")).status_code == 200


async def test_a_body_in_several_messages(app):
    async with Caller(app, TWICE) as caller:
        for part in (BODY[:1], b"", BODY[1:50]):
            caller.send(part, more=True)
        caller.send(BODY[50:])

        reply = await caller.reply()

    assert reply.json()["outputs"][0]["data"] == [2, 4, 6, 8]


# --- abuse


@pytest.mark.parametrize("name", ["none", "a%2Fb", "..", "%2e%2e", "%00", "twice%20", "%ff", "é"])
async def test_a_model_that_is_not_there(app, name):
    """Lesson 28."""
    reply = await post(app, f"/v2/models/{name}/infer")

    assert reply.status_code == 404
    assert error_of(reply)


async def test_a_version_that_is_not_there(app):
    reply = await post(app, "/v2/models/twice/versions/2/infer")

    assert reply.status_code == 404
    assert error_of(reply) == "version '2' of model 'twice' is not found"


@pytest.mark.parametrize("version", ["x", "-1", "1.0", "%31x"])
async def test_a_version_that_is_no_number(app, version):
    reply = await post(app, f"/v2/models/twice/versions/{version}/infer")

    assert reply.status_code in (400, 404)
    assert error_of(reply)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/twice/infer/",
        "/v2/models//infer",
        "/v2/models/a/b/infer",
        "//v2/models/twice/infer",
        "/V2/models/twice/infer",
        "/v2/models/twice/Infer",
        "/v2/models/twice/versions//infer",
        "/v2/models/twice/infer/more",
        "/x/v2/models/twice/infer",
    ],
)
async def test_a_path_that_is_nearly_one(app, path):
    reply = await post(app, "http://test" + path)

    assert reply.status_code == 404
    assert error_of(reply) == "Not Found"


@pytest.mark.parametrize("path", ["/v2/models/infer", "/v2/models/twice/versions/infer"])
async def test_a_path_that_is_a_model_named_infer(app, path):
    reply = await post(app, path)

    assert reply.status_code == 405
    assert error_of(reply) == "Method Not Allowed"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method(app, method):
    async with client(app) as session:
        reply = await session.request(method, TWICE)

    assert reply.status_code == 405
    assert reply.headers["allow"] == "POST"
    assert error_of(reply) == "Method Not Allowed"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is not valid JSON: no JSON found"),
        (b"{}", "inputs: expected a list of tensors, got nothing"),
        (wire.request(wire.tensor(shape=[1, 4], data=[True] * 4)), "inputs[0].data: expected FP32"),
        (wire.request(wire.tensor("INT8", [1, 4], [1] * 4)), "input 'x': expected float32, got "),
        (wire.request(wire.tensor(shape=[1, 3], data=[1] * 3)), "input 'x': expected shape"),
        (BODY[:-1] + b',"outputs":[{"name":"q"}]}', 'unexpected output "q"'),
    ],
)
async def test_a_request_that_is_wrong(app, body, says):
    """Lesson 26."""
    reply = await post(app, content=body)

    assert reply.status_code == 400
    assert error_of(reply).startswith(says)


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "+1", "1_0", "9" * 19, "9" * 5000, "1 1"])
@pytest.mark.parametrize("header", [WRONG_HEADER, "Content-Length"])
async def test_a_length_that_is_no_number(app, header, value):
    async with Caller(app, TWICE, (header, value)) as caller:
        caller.send(BODY)
        reply = await caller.reply()

    assert reply.status_code == 400
    assert error_of(reply).startswith(f"{header}: expected a whole number, got '")


@pytest.mark.parametrize("more", [1, 10**17])
async def test_a_json_length_beyond_the_body(app, more):
    reply = await post(app, inference_header_content_length=str(len(BODY) + more))

    assert reply.status_code == 400
    assert error_of(reply).startswith(WRONG_HEADER)


@pytest.mark.parametrize(
    "encoding", ["br", "gzip, deflate", "gzip, gzip", "aws-chunked", "x" * 999]
)
async def test_a_body_encoded_in_a_way_that_is_not_known(app, encoding):
    reply = await post(app, content_encoding=encoding)

    assert reply.status_code == 415
    assert reply.headers["accept-encoding"] == "gzip, deflate"
    told = (
        f"Content-Encoding {encoding[:40]!r} is not supported; send one of gzip, deflate, or none"
    )
    assert error_of(reply) == told


async def test_a_body_that_is_not_encoded_may_say_so(app):
    assert (await post(app, content_encoding="Identity")).status_code == 200


async def test_a_body_that_is_announced_too_large_is_not_read(app):
    async with Caller(app, TWICE, ("Content-Length", "1049")) as caller:
        reply = await caller.reply()

    assert reply.status_code == 413
    assert reply.headers["connection"] == "close"
    assert "larger than the 1048 bytes" in error_of(reply)


@pytest.mark.parametrize("parts", [[2000], [600, 600], [1] * 1049])
async def test_a_body_that_turns_out_too_large_is_not_read_to_its_end(app, parts):
    async with Caller(app, TWICE, ("Content-Length", "10")) as caller:
        for size in parts:
            caller.send(b" " * size, more=True)
        reply = await caller.reply()

    assert reply.status_code == 413
    assert reply.headers["connection"] == "close"
    assert error_of(reply)


async def test_a_body_as_large_as_may_be(app):
    reply = await post(app, content=BODY + b" " * (1048 - len(BODY)))

    assert reply.status_code == 200


async def test_a_caller_who_leaves_while_sending_gets_no_answer(app):
    async with Caller(app, TWICE) as caller:
        caller.send(b"{", more=True)
        caller.leave()
        assert await caller.ended() == []
    async with Caller(app, TWICE) as caller:
        caller.leave()
        assert await caller.ended() == []
    assert (await post(app)).status_code == 200


async def test_a_model_that_fails_tells_the_engines_words_to_the_log_only(app, caplog):
    """Lesson 28."""
    body = wire.request(wire.tensor("INT64", [1, 1], [99], name="index"))

    reply = await post(app, "/v2/models/t/infer", content=body)

    assert reply.status_code == 500
    assert error_of(reply) == "the model failed on this request; the server's log says why"
    assert "indices element out of data bounds" in caplog.text


async def test_an_output_without_a_json_form(tmp_path):
    path = onnx_models.identity(tmp_path / "half.onnx", TensorProto.FLOAT16, ["n", 1])
    text = wire.request(wire.binary_tensor("FP16", [1, 1], 2))
    async with loaded(path) as engine:
        body, length = wire.followed(text, b"\0\0")
        named = {"inference_header_content_length": str(length)}
        reply = await post(door(engine), "/v2/models/half/infer", body, **named)

    assert reply.status_code == 400
    assert error_of(reply).endswith("ask for binary data")

"""The page's routes: files that stay, and a stream that ends."""

import asyncio
import json
import re

import pytest

from serving.engine import Engine
from serving.settings import Settings
from serving.web import stream
from serving.web.files import FOLDER, files
from serving.web.live import MAX_VIEWERS
from tests.support import onnx_models
from tests.support.asgi import Caller, client, door, error_of, loaded


@pytest.fixture
async def session():
    async with client(door(Engine([], Settings()))) as session:
        yield session


async def links(session) -> list[str]:
    page = (await session.get("/")).text
    return re.findall(r'(?:href|src)="(web/[^"]+)"', page)


async def test_the_page_allows_nothing_but_its_own_files(session):
    """Lesson 28: whatever a model is called, no script of it runs."""
    reply = await session.get("/")

    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script>|\son\w+=|style=", reply.text)
    assert not re.search(r"https?://|[\"']//", reply.text)


async def test_no_file_names_another_host_or_makes_markup_of_text():
    for name in files():
        text = (FOLDER / name).read_text()
        hosts = set(re.findall(r"https?://[^\s\"'`)/]+", text))
        assert hosts <= {"http://www.w3.org", "http://127.0.0.1:8000"}, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|eval\(", text), name


async def test_files_are_kept_for_good_under_a_name_of_their_own(session):
    found = await links(session)

    assert {link.split("/")[-1] for link in found} == {"icon.svg", "style.css", "app.js"}
    for link in found:
        reply = await session.get("/" + link)
        assert reply.status_code == 200
        assert "immutable" in reply.headers["cache-control"]
        tag = {"if-none-match": reply.headers["etag"]}
        again = await session.get("/" + link, headers=tag)
        assert (again.status_code, again.content) == (304, b"")


async def test_every_module_that_is_imported_is_there(session):
    (app,) = (link for link in await links(session) if link.endswith("app.js"))
    folder = app.rsplit("/", 1)[0]
    for name in files():
        for imported in re.findall(r'from "\./([^"]+)"', (FOLDER / name).read_text()):
            reply = await session.get(f"/{folder}/{imported}")
            assert reply.headers["content-type"] == "text/javascript; charset=utf-8"


async def test_the_page_itself_is_asked_for_each_time(session):
    reply = await session.get("/")

    assert reply.headers["cache-control"] == "no-cache"
    tag = {"if-none-match": f'"other", W/{reply.headers["etag"]}'}
    assert (await session.get("/", headers=tag)).status_code == 304


@pytest.mark.parametrize("path", ["/web/0/app.js", "/web/{}/none.js", "/web/{}/%2e%2e%2froutes.py"])
async def test_no_other_file_is_given(session, path):
    """Lesson 28."""
    digest = (await links(session))[0].split("/")[1]

    reply = await session.get(path.format(digest))

    assert reply.status_code == 404
    assert error_of(reply) == "Not Found"


async def test_it_is_not_among_the_documented_routes(session):
    paths = (await session.get("/openapi.json")).json()["paths"]

    assert not [path for path in paths if path == "/" or path.startswith("/web")]


async def test_models_are_described_as_they_are_and_not_where(tmp_path):
    """Lesson 28: no path of the server's own."""
    path = onnx_models.doubler(tmp_path / "twice.onnx")
    async with loaded(path) as engine, client(door(engine)) as session:
        reply = await session.get("/web/models")

    (model,) = reply.json()["models"]
    assert (model["name"], model["path"], model["state"]) == ("twice", "/v2/models/twice", "READY")
    assert model["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 4], "says": "float32 [batch, 4]"}
    ]
    assert model["curve"]["samples"]
    assert model["curve"]["says"]
    assert model["example"]["inputs"][0]["data"] == [1, 1, 1, 1]
    assert str(tmp_path) not in reply.text
    assert reply.headers["cache-control"] == "no-store"


async def test_the_mark_changes_with_what_is_said_of_a_model(tmp_path):
    folder = tmp_path / "m"
    onnx_models.doubler(folder / "1" / "model.onnx")
    async with loaded(tmp_path, admin=True) as engine, client(door(engine)) as session:

        async def mark() -> str:
            return str((await session.get("/web/models")).json()["models"][0]["mark"])

        first = await mark()
        assert await mark() == first
        (folder / "model.toml").write_text('description = "Other words"')
        await engine.reload("m")
        assert await mark() != first


async def test_a_model_that_is_not_loaded_has_a_state_and_a_reason(tmp_path):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"none")
    async with client(door(Engine([], Settings()))) as session:
        assert (await session.get("/web/models")).json()["models"] == []


# --- the stream


async def first_event(caller: Caller) -> dict[str, object]:
    while len(caller._sent) < 2:  # noqa: ASYNC110 - a caller has no event
        await asyncio.sleep(0)
    text = caller._sent[1]["body"]
    assert text.startswith(b"data: ")
    assert text.endswith(b"\n\n")
    told: dict[str, object] = json.loads(text[6:])
    return told


async def test_the_stream_tells_at_once_and_ends_when_the_server_stops():
    """Lesson 20: what it promises to who looks is an end, at once."""
    async with loaded() as engine:
        app = door(engine)
        async with Caller(app, "/web/live", method="GET") as caller:
            told = await first_event(caller)
            engine.draining = True
            *_, last = await caller.ended()

    assert told["ready"] is True
    assert last == {
        "type": "http.response.body",
        "body": b"event: stopping\ndata:\n\n",
        "more_body": False,
    }


async def test_the_stream_ends_when_its_reader_leaves():
    """Lesson 18."""
    async with loaded() as engine:
        app = door(engine)
        async with Caller(app, "/web/live", method="GET") as caller:
            await first_event(caller)
            caller.leave()
            await caller.ended()


async def test_the_stream_ends_after_a_time_and_the_page_opens_another(monkeypatch):
    monkeypatch.setattr(stream, "LIFE_S", 0.0)
    async with loaded() as engine, Caller(door(engine), "/web/live", method="GET") as caller:
        *_, last = await caller.ended()

    assert last["body"] == b"event: again\ndata:\n\n"


async def test_there_are_only_so_many_streams_and_who_leaves_makes_room():
    """Lesson 28: everything that grows has a bound."""
    async with loaded() as engine:
        app = door(engine)
        callers = [Caller(app, "/web/live", method="GET") for _ in range(MAX_VIEWERS)]
        for caller in callers:
            await caller.__aenter__()
        for caller in callers:
            await first_event(caller)
        async with client(app) as session:
            refused = await session.get("/web/live")
        callers[0].leave()
        await callers[0].ended()
        async with Caller(app, "/web/live", method="GET") as newcomer:
            await first_event(newcomer)
        for caller in callers:
            await caller.__aexit__()

    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert "as many look" in error_of(refused)


async def test_a_server_that_stops_begins_no_stream():
    engine = Engine([], Settings())
    engine.draining = True
    async with client(door(engine)) as session:
        reply = await session.get("/web/live")

    assert reply.status_code == 503
    assert error_of(reply) == "the server is stopping"


async def test_head_of_the_stream_is_answered_and_over(session):
    reply = await session.head("/web/live")

    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/event-stream")

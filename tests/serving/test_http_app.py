"""The application's documentation, and its one form of an error."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from serving.engine import Engine
from serving.settings import Settings
from tests.support.asgi import Caller, client, door, error_of


@pytest.fixture
def engine() -> Engine:
    return Engine([], Settings())


@pytest.fixture
async def session(engine) -> Any:
    async with client(door(engine)) as session:
        yield session


@pytest.fixture
async def openapi(session) -> Any:
    return (await session.get("/openapi.json")).json()


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a JSON document, with what it holds."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield str(key), value
        if isinstance(value, (dict, list)):
            yield from walk(value)


class Links(HTMLParser):
    """What a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


# --- documentation


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/docs/oauth2-redirect"])
async def test_the_documentation_names_no_other_host(session, path):
    """It works in a network without a way out."""
    reply = await session.get(path)

    assert reply.status_code == 200
    assert not re.search(r"https?:|[\"'(]//", reply.text)


async def test_all_that_the_documentation_loads_is_served_from_here(session):
    page = await session.get("/docs")
    links = Links(page.text).found

    assert any(link.endswith(".js") for link in links)
    for link in links:
        loaded = await session.get(link)
        assert loaded.status_code == 200
        assert len(loaded.content) > 100


async def test_every_route_of_the_protocol_is_documented(openapi):
    model = "/v2/models/{name}"
    version = model + "/versions/{version}"

    assert set(openapi["paths"]) >= {
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models",
        "/v2/models/stats",
        "/v2/repository/index",
        *("/v2/repository/models/{name}" + what for what in ("/load", "/unload")),
        *(
            base + what
            for base in (model, version)
            for what in ("", "/ready", "/infer", "/config", "/stats")
        ),
    }
    for path, methods in openapi["paths"].items():
        does = path.endswith("/infer") or path.startswith("/v2/repository/")
        assert list(methods) == (["post"] if does else ["get"])
        for described in methods.values():
            assert described["summary"]
            assert described["tags"]


async def test_every_reference_in_the_documentation_leads_somewhere(openapi):
    references = {value for key, value in walk(openapi) if key == "$ref"}

    assert references
    for reference in references:
        root, *steps = reference.split("/")
        assert root == "#"
        place = openapi
        for step in steps:
            place = place[step]


async def test_the_documentation_promises_no_error_of_another_form(openapi):
    """Lesson 25: neither `detail` nor FastAPI's 422 is ever sent."""
    assert "detail" not in {key for key, _ in walk(openapi)}
    assert "HTTPValidationError" not in json.dumps(openapi)
    infer = openapi["paths"]["/v2/models/{name}/infer"]["post"]["responses"]
    assert set(infer) >= {"200", "400", "404", "413", "415", "429", "500", "503", "504"}
    for status, reply in infer.items():
        if status != "200":
            (content,) = reply["content"].values()
            assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}


async def test_the_documentation_shows_what_a_request_is(openapi):
    body = openapi["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]

    tensor = schema["properties"]["inputs"]["items"]["properties"]
    assert set(tensor) == {"name", "shape", "datatype", "data", "parameters"}
    described = openapi["paths"]["/v2/models/{name}/infer"]["post"]["description"]
    assert "Inference-Header-Content-Length" in described


# --- errors


async def answer(app: FastAPI) -> httpx.Response:
    """GET /broken, as a server gets it that logs what the application raises."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
        return await session.get("/broken")


def broken(engine: Engine, error: Exception) -> FastAPI:
    """The application with a route that raises."""
    app = door(engine, gate=False)
    assert isinstance(app, FastAPI)

    async def fail() -> None:
        raise error

    app.add_api_route("/broken", fail)
    return app


async def test_an_unexpected_error_tells_its_words_to_the_log_only(engine, caplog):
    """Lessons 25 and 28."""
    reply = await answer(broken(engine, ValueError("/etc/secret")))

    assert reply.status_code == 500
    assert error_of(reply) == "internal error; the server's log says more"
    assert "/etc/secret" in caplog.text


async def test_an_http_error_keeps_its_status_and_headers(engine):
    """Lesson 25."""
    error = HTTPException(418, "short and stout", {"x-pot": "tea"})

    reply = await answer(broken(engine, error))

    assert reply.status_code == 418
    assert reply.headers["x-pot"] == "tea"
    assert error_of(reply) == "short and stout"


async def test_a_caller_who_leaves_in_the_middle_is_no_failure_of_ours(engine, caplog):
    async with Caller(door(engine), "/v2/repository/index") as caller:
        caller.send(b'{"ready"', more=True)
        caller.leave()
        reply = await caller.reply()

    assert reply.status_code == 400
    assert not caplog.records

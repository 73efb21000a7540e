"""The routes of the model repository: which models there are, and their loading and unloading."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from ..management import Management
from ..protocol import InvalidRequest
from . import body
from . import management_schemas as managed
from .documented import ERRORS, Errors, Name, answers, error, takes

_TAGS: dict[str, Any] = {"tags": ["repository"]}
_ERRORS: Errors = {
    **ERRORS,
    403: error("The server was started without --admin"),
    404: error("No such model"),
    503: error("The server does not do this, or not now"),
}


def add_repository_routes(router: APIRouter, management: Management, max_bytes: int) -> None:
    """Add all routes under /repository. max_bytes: of a body."""

    @router.post(
        "/repository/index",
        summary="Every version of every model, and its state",
        **_TAGS,
        **answers(list[managed.ModelIndex]),
        **takes(managed.IndexBody, required=False),
    )
    async def index(request: Request) -> JSONResponse:
        ready = (await body.json_object(request, max_bytes)).get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidRequest("ready: expected true or false")
        return JSONResponse(management.index(ready))

    @router.post(
        "/repository/models/{name}/load",
        summary="Load a model, or load it anew",
        description="The model that is there serves until the new one is ready to.",
        **_TAGS,
        **answers(managed.Loaded, _ERRORS),
        **takes(managed.LoadBody, required=False),
    )
    async def load(name: Name, request: Request) -> JSONResponse:
        await management.load(name, await body.parameters(request, max_bytes))
        return JSONResponse({"name": name, "load": True})

    @router.post(
        "/repository/models/{name}/unload",
        summary="Unload a model",
        description="What it was asked before is answered.",
        **_TAGS,
        **answers(managed.Unloaded, _ERRORS),
        **takes(managed.UnloadBody, required=False),
    )
    async def unload(name: Name, request: Request) -> JSONResponse:
        await management.unload(name, await body.parameters(request, max_bytes))
        return JSONResponse({"name": name, "unload": True})

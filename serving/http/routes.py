"""The protocol's routes. Inference is here for the documentation; the gate answers it first."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse

from ..engine import Engine
from ..gate import Inference
from . import schemas
from .metadata import model_metadata, server_metadata

Name = Annotated[str, Path(description="The model's name", examples=["digits"])]
Version = Annotated[str, Path(description="One of the model's versions", pattern="^[0-9]+$")]

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": schemas.ErrorBody, "description": "The request is wrong; the error says where"},
    404: {"model": schemas.ErrorBody, "description": "No such model or version"},
    503: {"model": schemas.ErrorBody, "description": "Known, but not ready"},
    # Keeps FastAPI from documenting a 422 that is never sent.
    "4XX": {"model": schemas.ErrorBody, "description": "Anything else that is wrong"},
}
_INFER_ERRORS: dict[int | str, dict[str, Any]] = {
    **_ERRORS,
    413: {"model": schemas.ErrorBody, "description": "The body or the batch is too large"},
    415: {"model": schemas.ErrorBody, "description": "The Content-Encoding is not supported"},
    429: {"model": schemas.ErrorBody, "description": "The queue is full"},
    500: {"model": schemas.ErrorBody, "description": "The model failed on this request"},
    504: {"model": schemas.ErrorBody, "description": "The request's time ran out in the queue"},
}
_INFER_DOCS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": schemas.in_one_piece(schemas.InferRequestBody)},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class _ByTheGate(Response):
    """A response that lets the gate's code answer: one way to infer, whatever the door."""

    def __init__(self, inference: Inference, name: str, version: str | None) -> None:
        super().__init__()
        self._inference, self._name, self._version = inference, name, version

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._inference.answer(self._name, self._version, scope, receive, send)


def make_router(engine: Engine, inference: Inference) -> APIRouter:
    """All routes under /v2."""
    router = APIRouter(prefix="/v2")
    _add_server_routes(router, engine)
    _add_model_routes(router, engine)
    _add_inference_routes(router, inference)
    return router


def _add_server_routes(router: APIRouter, engine: Engine) -> None:
    @router.get("", tags=["server"], summary="What this server is")
    async def server() -> schemas.ServerMetadata:
        return schemas.ServerMetadata(**server_metadata())

    @router.get("/health/live", tags=["server"], summary="The process answers")
    async def live() -> schemas.Live:
        return schemas.Live(live=True)

    @router.get(
        "/health/ready",
        tags=["server"],
        summary="Every model answers",
        responses={200: {"model": schemas.Ready}, 503: {"model": schemas.ErrorBody}},
    )
    async def ready() -> JSONResponse:
        if reason := engine.why_not_ready():
            return JSONResponse({"ready": False, "error": reason}, 503)
        return JSONResponse({"ready": True})

    @router.get("/models", tags=["models"], summary="All models, ready or not")
    async def models() -> schemas.ModelNames:
        return schemas.ModelNames(models=list(engine.registry.entries))


def _add_model_routes(router: APIRouter, engine: Engine) -> None:
    def metadata_of(name: str, version: str | None) -> schemas.ModelMetadata:
        return schemas.ModelMetadata(**model_metadata(engine.registry.get(name, version)))

    def readiness_of(name: str, version: str | None) -> JSONResponse:
        if reason := engine.why_model_not_ready(name, version):
            return JSONResponse({"name": name, "ready": False, "error": reason}, 503)
        return JSONResponse({"name": name, "ready": True})

    ready_answers = {200: {"model": schemas.ModelReady}, **_ERRORS}

    @router.get(
        "/models/{name}", tags=["models"], summary="What the model takes", responses=_ERRORS
    )
    async def metadata(name: Name) -> schemas.ModelMetadata:
        return metadata_of(name, None)

    @router.get(
        "/models/{name}/versions/{version}",
        tags=["models"],
        summary="What this version takes",
        responses=_ERRORS,
    )
    async def version_metadata(name: Name, version: Version) -> schemas.ModelMetadata:
        return metadata_of(name, version)

    @router.get(
        "/models/{name}/ready",
        tags=["models"],
        summary="The model answers",
        responses=ready_answers,
    )
    async def ready(name: Name) -> JSONResponse:
        return readiness_of(name, None)

    @router.get(
        "/models/{name}/versions/{version}/ready",
        tags=["models"],
        summary="This version answers",
        responses=ready_answers,
    )
    async def version_ready(name: Name, version: Version) -> JSONResponse:
        return readiness_of(name, version)


def _add_inference_routes(router: APIRouter, inference: Inference) -> None:
    shared: dict[str, Any] = {
        "tags": ["inference"],
        "description": "Binary data may follow the JSON: `Inference-Header-Content-Length` "
        "says where it begins.",
        "response_class": Response,
        "responses": {200: {"model": schemas.InferReplyBody}, **_INFER_ERRORS},
        "openapi_extra": _INFER_DOCS,
    }

    @router.post("/models/{name}/infer", summary="Run the model", **shared)
    async def infer(name: Name) -> Response:
        return _ByTheGate(inference, name, None)

    @router.post("/models/{name}/versions/{version}/infer", summary="Run this version", **shared)
    async def version_infer(name: Name, version: Version) -> Response:
        return _ByTheGate(inference, name, version)

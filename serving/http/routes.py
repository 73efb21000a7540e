"""The protocol's routes. Inference is here for the documentation; the gate answers it first."""

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from ..engine import Engine
from ..gate import Inference
from ..management import Management
from ..observe.report import Reports
from . import management_schemas as managed
from . import schemas
from .documented import INFER_ERRORS, Errors, Name, Version, answers, error, takes
from .repository import add_repository_routes

_SERVER: dict[str, Any] = {"tags": ["server"]}
_MODELS: dict[str, Any] = {"tags": ["models"]}


class _ByTheGate(Response):
    """A response that lets the gate's code answer: one way to infer, whatever the door."""

    def __init__(self, inference: Inference, name: str, version: str | None) -> None:
        super().__init__()
        self._inference, self._name, self._version = inference, name, version

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._inference.answer(self._name, self._version, scope, receive, send)


def make_router(engine: Engine, inference: Inference, reports: Reports | None = None) -> APIRouter:
    """All routes under /v2."""
    router = APIRouter(prefix="/v2")
    management = Management(engine, reports)
    _add_server_routes(router, engine, management)
    # Before the models' own, of which one may be named so.
    _add_statistics_routes(router, management)
    _add_model_routes(router, engine, management)
    _add_inference_routes(router, inference)
    add_repository_routes(router, management, engine.settings.max_body_bytes)
    return router


def _add_server_routes(router: APIRouter, engine: Engine, management: Management) -> None:
    @router.get("", summary="What this server is", **_SERVER, **answers(schemas.ServerMetadata))
    async def server() -> JSONResponse:
        return JSONResponse(management.server())

    @router.get("/health/live", summary="The process answers", **_SERVER, **answers(schemas.Live))
    async def live() -> JSONResponse:
        return JSONResponse({"live": True})

    not_ready: Errors = {503: {"model": schemas.NotReady, "description": "Not every model does"}}

    @router.get(
        "/health/ready",
        summary="Every model answers",
        **_SERVER,
        **answers(schemas.Ready, not_ready),
    )
    async def ready() -> JSONResponse:
        if reason := engine.why_not_ready():
            return JSONResponse({"ready": False, "error": reason}, 503)
        return JSONResponse({"ready": True})

    @router.get(
        "/models", summary="All models, ready or not", **_MODELS, **answers(schemas.ModelNames, {})
    )
    async def models() -> JSONResponse:
        return JSONResponse({"models": management.models()})


def _add_model_routes(router: APIRouter, engine: Engine, management: Management) -> None:
    def readiness_of(name: str, version: str | None) -> JSONResponse:
        if reason := engine.why_model_not_ready(name, version):
            return JSONResponse({"name": name, "ready": False, "error": reason}, 503)
        return JSONResponse({"name": name, "ready": True})

    metadata_of = answers(schemas.ModelMetadata)
    ready_of = answers(
        schemas.ModelReady,
        {
            404: error("No such model or version"),
            "4XX": error("Anything else that is wrong"),
            503: {"model": schemas.NotReady, "description": "Known, but not ready"},
        },
    )
    config_of = answers(managed.ModelConfig)
    example_of: dict[str, Any] = {
        "description": "From its model.toml, or made up. Numbers of FP16 and BF16 are shown "
        "here as JSON, and must be sent as binary data: the model's own route shows how.",
        **_MODELS,
        **answers(schemas.InferRequestBody),
    }

    @router.get("/models/{name}", summary="What the model takes", **_MODELS, **metadata_of)
    async def metadata(name: Name) -> JSONResponse:
        return JSONResponse(management.metadata(name, None))

    @router.get(
        "/models/{name}/versions/{version}",
        summary="What this version takes",
        **_MODELS,
        **metadata_of,
    )
    async def version_metadata(name: Name, version: Version) -> JSONResponse:
        return JSONResponse(management.metadata(name, version))

    @router.get("/models/{name}/ready", summary="The model answers", **_MODELS, **ready_of)
    async def ready(name: Name) -> JSONResponse:
        return readiness_of(name, None)

    @router.get(
        "/models/{name}/versions/{version}/ready",
        summary="This version answers",
        **_MODELS,
        **ready_of,
    )
    async def version_ready(name: Name, version: Version) -> JSONResponse:
        return readiness_of(name, version)

    @router.get("/models/{name}/example", summary="A request that it answers", **example_of)
    async def example(name: Name) -> JSONResponse:
        return JSONResponse(management.example(name, None))

    @router.get(
        "/models/{name}/versions/{version}/example",
        summary="A request that this version answers",
        **example_of,
    )
    async def version_example(name: Name, version: Version) -> JSONResponse:
        return JSONResponse(management.example(name, version))

    @router.get("/models/{name}/config", summary="How it is served", **_MODELS, **config_of)
    async def config(name: Name) -> JSONResponse:
        return JSONResponse(management.config(name, None))

    @router.get(
        "/models/{name}/versions/{version}/config",
        summary="How this version is served",
        **_MODELS,
        **config_of,
    )
    async def version_config(name: Name, version: Version) -> JSONResponse:
        return JSONResponse(management.config(name, version))


def _add_statistics_routes(router: APIRouter, management: Management) -> None:
    shared = {**_MODELS, **answers(managed.Statistics)}

    @router.get("/models/stats", summary="What all models have done", **shared)
    async def all_statistics() -> JSONResponse:
        return JSONResponse(await management.statistics())

    @router.get("/models/{name}/stats", summary="What the model has done", **shared)
    async def statistics(name: Name) -> JSONResponse:
        return JSONResponse(await management.statistics(name))

    @router.get(
        "/models/{name}/versions/{version}/stats", summary="What this version has done", **shared
    )
    async def version_statistics(name: Name, version: Version) -> JSONResponse:
        return JSONResponse(await management.statistics(name, version))


def _add_inference_routes(router: APIRouter, inference: Inference) -> None:
    shared: dict[str, Any] = {
        "tags": ["inference"],
        "description": "Binary data may follow the JSON, as `application/octet-stream`: the "
        "header `Inference-Header-Content-Length` says where it begins, and each input's "
        "`binary_data_size` how much of it is its own.",
        "response_class": Response,
        **answers(schemas.InferReplyBody, INFER_ERRORS),
        **takes(schemas.InferRequestBody, required=True),
    }

    @router.post("/models/{name}/infer", summary="Run the model", **shared)
    async def infer(name: Name) -> Response:
        return _ByTheGate(inference, name, None)

    @router.post("/models/{name}/versions/{version}/infer", summary="Run this version", **shared)
    async def version_infer(name: Name, version: Version) -> Response:
        return _ByTheGate(inference, name, version)

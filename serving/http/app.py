"""The FastAPI application: every route, and its documentation."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ..engine import Engine
from ..errors import OURS, reply_to
from ..gate import Inference
from ..observe.report import Reports, Values
from ..version import VERSION
from ..web import make_web_router
from .head import HeadAsGet
from .metrics_route import engine_report, make_metrics_router
from .openapi import openapi_of
from .routes import make_router

DESCRIPTION = """\
Inference for ONNX models over the Open Inference Protocol (KServe V2, what Triton speaks).
Every error is `{"error": "…"}`.
"""

# Parts of the protocol that are not implemented, and are not among the extensions. Who asks
# for them all the same is told more than that nothing was found.
NO_SHARED_MEMORY = "this server has no shared memory; send tensors in the request itself"
NO_TRACING = "this server has no trace settings"
NO_LOG_SETTINGS = "this server's log cannot be set while it runs"
NOT_HERE = (
    (re.compile("/v2/(system|cuda)sharedmemory(/.*)?"), NO_SHARED_MEMORY),
    (re.compile("/v2/(models/[^/]+/)?trace/setting"), NO_TRACING),
    (re.compile("/v2/logging"), NO_LOG_SETTINGS),
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_http_app(
    engine: Engine,
    inference: Inference,
    lifespan: Lifespan | None,
    reports: Reports | None = None,
) -> FastAPI:
    """The application behind the gate.

    reports: what metrics, statistics and the page are of, if not of `engine` alone.
    """
    app: FastAPI = FastAPIOffline(
        title="Jitney",
        version=VERSION,
        description=DESCRIPTION,
        redoc_url=None,
        # Clients do not follow redirects of a POST: to them it is an error without a message.
        redirect_slashes=False,
        lifespan=lifespan,
    )

    async def own_report() -> Values:
        return engine_report(engine)

    app.include_router(make_router(engine, inference, reports))
    if engine.settings.metrics:
        app.include_router(make_metrics_router(engine, reports))
    app.include_router(make_web_router(engine, reports or own_report))
    app.openapi = openapi_of(app, engine)  # type: ignore[method-assign]
    app.add_middleware(HeadAsGet)
    for ours in OURS:
        app.add_exception_handler(ours, _on_our_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_wrong_request)
    app.add_exception_handler(ClientDisconnect, _on_caller_gone)
    app.add_exception_handler(Exception, _on_our_error)
    return app


async def _on_our_error(_: Request, error: Exception) -> Response:
    reply = reply_to(error)
    response = Response(reply.body, reply.status)
    response.raw_headers += reply.headers
    return response


async def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    message, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 404:
        message = next((says for path, says in NOT_HERE if _is_at(request, path)), message)
    elif headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"
    return JSONResponse({"error": message}, error.status_code, headers)


def _is_at(request: Request, path: re.Pattern[str]) -> bool:
    return path.fullmatch(request.url.path) is not None


async def _on_caller_gone(_: Request, __: Exception) -> JSONResponse:
    # Nobody reads it; and it is no failure of ours, which the log would have to tell of.
    return JSONResponse({"error": "the connection ended before the body did"}, 400)


async def _on_wrong_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if where == "path.version":
        message = f"version: expected a whole number, got {str(first['input'])[:40]!r}"
        return JSONResponse({"error": message}, 400)
    return JSONResponse({"error": f"{where}: {first['msg']}"}, 400)

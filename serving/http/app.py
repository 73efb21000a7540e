"""The FastAPI application: every route, and its documentation."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from models import ModelError

from ..engine import Engine
from ..errors import reply_to
from ..gate import Inference
from ..version import VERSION
from .routes import make_router

DESCRIPTION = """\
Inference for ONNX models over the Open Inference Protocol (KServe V2, what Triton speaks).
Every error is `{"error": "…"}`.
"""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_http_app(engine: Engine, inference: Inference, lifespan: Lifespan) -> FastAPI:
    """The application behind the gate."""
    app: FastAPI = FastAPIOffline(
        title="Jitney",
        version=VERSION,
        description=DESCRIPTION,
        redoc_url=None,
        # Clients do not follow redirects of a POST: to them it is an error without a message.
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.include_router(make_router(engine, inference))
    app.add_exception_handler(ModelError, _on_our_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_wrong_request)
    app.add_exception_handler(Exception, _on_our_error)
    return app


async def _on_our_error(_: Request, error: Exception) -> Response:
    reply = reply_to(error)
    response = Response(reply.body, reply.status)
    response.raw_headers += reply.headers
    return response


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _on_wrong_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": f"{where}: {first['msg']}"}, 400)

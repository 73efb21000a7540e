"""What the documentation of several routes has in common."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel

from . import schemas

Name = Annotated[str, Path(description="The model's name")]
Errors = dict[int | str, dict[str, Any]]
"""How errors are documented, by their status."""
Version = Annotated[str, Path(description="One of the model's versions", pattern="^[0-9]+$")]


def error(description: str) -> dict[str, Any]:
    """How one error is documented."""
    return {"model": schemas.ErrorBody, "description": description}


ERRORS: Errors = {
    400: error("The request is wrong; the error says where"),
    404: error("No such model or version"),
    503: error("Known, but not ready"),
    # Keeps FastAPI from documenting a 422 that is never sent.
    "4XX": error("Anything else that is wrong"),
}
INFER_ERRORS: Errors = {
    **ERRORS,
    413: error("The body or the batch is too large"),
    415: error("The Content-Encoding is not supported"),
    429: error("The queue is full"),
    500: error("The model failed on this request"),
    504: error("The request's time ran out in the queue"),
}


def answers(model: Any, errors: Errors = ERRORS) -> dict[str, Any]:
    """A route's arguments: what it answers with, or one of the errors."""
    return {"responses": {200: {"model": model}, **errors}}


def takes(model: type[BaseModel], *, required: bool) -> dict[str, Any]:
    """A route's arguments: the body that it reads by itself."""
    content = {"application/json": {"schema": schemas.in_one_piece(model)}}
    return {"openapi_extra": {"requestBody": {"required": required, "content": content}}}

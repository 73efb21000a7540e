"""The document at /openapi.json: the protocol's routes, and one for each model that answers.

Models come and go, so it is made when it is asked for, anew if other models answer.
"""

import shlex
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from weakref import ReferenceType, ref

from fastapi import FastAPI

from models import Model, TensorSpec

from ..deployment import Deployment
from ..engine import Engine
from ..example import curl, model_example
from ..protocol import datatype_of
from ..protocol.elements import NO_JSON_FORM
from ..settings import Settings

Document = dict[str, Any]

HALVES = """\
Input {0} has no JSON form, and is sent as binary data. This runs the model with its example, and \
shows its answer:

    jitney call {1}

And this, where the shell writes the bytes that follow the JSON:

    {2}
"""
INFER = "/v2/models/{name}/infer"
TAG = "inference"


def openapi_of(app: FastAPI, engine: Engine) -> Callable[[], Document]:
    """What `app.openapi` is to be: the application's own document, and the models' in it."""
    protocol = app.openapi
    # Not the deployments themselves: they are freed when they are replaced.
    known: list[ReferenceType[Deployment]] | None = None
    document: Document = {}
    url = _address(engine.settings)

    def made() -> Document:
        nonlocal known, document
        found = engine.deployments
        if known is None or [each() for each in known] != list(found.values()):
            known = [ref(each) for each in found.values()]
            plain = protocol()
            paths = {
                f"/v2/models/{quote(name, safe='')}/infer": {
                    "post": _operation(each.model, plain["paths"][INFER]["post"], url)
                }
                for name, each in sorted(found.items())
            }
            document = {**plain, "paths": {**paths, **plain["paths"]}}
        return document

    return made


def _address(settings: Settings) -> str:
    """Where a person at this machine finds the server."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{settings.port or Settings().port}"


def _operation(model: Model, template: Document, url: str) -> Document:
    """How a model is run: as any of them is, but its inputs are known.

    url: where the server is, for commands.
    """
    signature, source = model.signature, model.source
    halves = [s.name for s in signature.inputs if datatype_of(s.dtype) in NO_JSON_FORM]
    content: Document = {"schema": request_schema(model)}
    says = [source.config.description, template["description"]]
    if halves:
        says.insert(1, HALVES.format(halves[0], shlex.quote(source.name), curl(model, url)))
    else:
        content["example"] = model_example(model)
    takes = "; ".join(str(spec) for spec in signature.inputs)
    gives = "; ".join(str(spec) for spec in signature.outputs)
    return {
        "tags": [TAG],
        "summary": f"Run {source.name}",
        "description": "\n\n".join(filter(None, [*says, f"Takes {takes}", f"Gives {gives}"])),
        "operationId": f"infer_model_{source.name}",
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": template["responses"],
    }


def request_schema(model: Model) -> Document:
    """The JSON schema of requests to a model: names, types and shapes are its own."""
    signature = model.signature
    inputs = [tensor_schema(spec) for spec in signature.inputs]
    outputs = [spec.name for spec in signature.outputs]
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": {
                "type": "array",
                "minItems": len(inputs),
                "maxItems": len(inputs),
                "items": inputs[0] if len(inputs) == 1 else {"oneOf": inputs},
            },
            "id": {"type": ["string", "null"], "description": "Comes back in the reply"},
            "outputs": {
                "type": ["array", "null"],
                "description": "All if left out",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"enum": outputs},
                        "parameters": {"type": ["object", "null"]},
                    },
                },
            },
            "parameters": {"type": ["object", "null"]},
        },
    }


def tensor_schema(spec: TensorSpec) -> Document:
    """One input as a request has it."""
    datatype = datatype_of(spec.dtype)
    element = {"BYTES": "string", "BOOL": "boolean"}.get(datatype)
    if element is None:
        element = "integer" if spec.dtype.kind in "iu" else "number"
    schema: Document = {
        "type": "object",
        "title": spec.name,
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"const": spec.name},
            "datatype": {"const": datatype},
            "shape": {
                "type": "array",
                "description": str(spec),
                "items": {"type": "integer", "minimum": 0},
                "minItems": len(spec.sizes),
                "maxItems": len(spec.sizes),
            },
            "parameters": {"type": ["object", "null"]},
        },
    }
    if datatype not in NO_JSON_FORM:
        schema["required"].append("data")
        schema["properties"]["data"] = {
            "type": "array",
            "description": "The elements, flat and row by row",
            "items": {"type": element},
        }
    return schema

"""The page's routes. They are its own business, and not among the documented ones."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final
from weakref import WeakKeyDictionary

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ..deployment import Deployment
from ..engine import Engine, ModelStatus
from ..errors import OthersSilent
from ..observe.report import Reports, Values
from ..version import VERSION
from .described import described
from .files import PAGE, SAFE, File, digest, files
from .live import Live
from .stream import LiveStream

ASK_AGAIN: Final = {"Cache-Control": "no-cache"}
FOR_GOOD: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
NEVER: Final = {"Cache-Control": "no-store"}


def make_web_router(engine: Engine, reports: Reports) -> APIRouter:
    """The page at `/`, and what it asks for under `/web`.

    reports: what its numbers are of: see observe.report.
    """
    router = APIRouter(include_in_schema=False)
    page = _Page(engine, reports)

    @router.get("/")
    async def index(request: Request) -> Response:
        return _file(request, files()[PAGE], {**SAFE, **ASK_AGAIN})

    @router.get("/web/models")
    async def models() -> Response:
        return JSONResponse(page.models(), headers=NEVER)

    @router.get("/web/live")
    async def live() -> Response:
        if engine.draining:
            return _refusal("the server is stopping")
        if page.live.full:
            return _refusal("as many look at the page as may; try again later")
        return LiveStream(page.live, engine)

    @router.get("/web/{of}/{name}")
    async def static(request: Request, of: str, name: str) -> Response:
        if of != digest() or name not in files():
            return JSONResponse({"error": "Not Found"}, 404)
        return _file(request, files()[name], {**SAFE, **FOR_GOOD})

    return router


class _Page:
    """What the page says of an engine's models."""

    def __init__(self, engine: Engine, reports: Reports) -> None:
        self._engine, self._reports = engine, reports
        self._described: WeakKeyDictionary[Deployment, dict[bool, Values]] = WeakKeyDictionary()
        self._last: Values = {"models": []}
        self.live = Live(self._report)

    def models(self) -> Values:
        """What does not change while a model is loaded, and which models there are."""
        return {
            "version": VERSION,
            "metrics": self._engine.settings.metrics,
            "models": [
                {**self._description(one), **self._state(one)} for one in self._engine.index()
            ],
        }

    def _description(self, status: ModelStatus) -> Values:
        """Nothing of a model that does not answer."""
        if status.state != "READY":
            return {}
        deployment = self._engine.deployment(status.name, status.version)
        newest = self._engine.deployments.get(status.name) is deployment
        made = self._described.setdefault(deployment, {})
        if newest not in made:
            said = described(deployment, newest=newest)
            # Of what is said, not of when: the page may ask another process next time.
            made[newest] = {**said, "mark": sha256(orjson.dumps(said)).hexdigest()[:16]}
        return made[newest]

    def _state(self, status: ModelStatus) -> Values:
        """By its mark the page knows whether it must ask anew what the model is."""
        return {
            "name": status.name,
            "version": status.version or "",
            "state": status.state,
            "reason": status.reason,
            "mark": self._description(status).get("mark", ""),
        }

    async def _report(self) -> Values:
        try:
            report = self._last = await self._reports()
        except OthersSilent as error:
            # What this process alone has counted would look as if the others had done nothing.
            report = {**self._last, "ready": False, "workers": ()}
            others = str(error)
        else:
            others = "another of its processes is not"
        counted = {(one["name"], one["version"]): one for one in report["models"]}
        nothing: Values = {"totals": None, "gauges": {}}
        states = map(self._state, self._engine.index())
        return {
            "ready": bool(report["ready"]),
            "why": self._engine.why_not_ready() or others,
            # Only where there are several.
            "processes": len(report["workers"]) if "workers" in report else None,
            "of_processes": self._engine.settings.workers,
            "models": [
                {**counted.get((one["name"], one["version"]), nothing), **one} for one in states
            ],
        }


def _file(request: Request, file: File, headers: Mapping[str, str]) -> Response:
    headers = {**headers, "ETag": file.etag}
    wanted = request.headers.get("if-none-match", "")
    if file.etag in [tag.strip().removeprefix("W/") for tag in wanted.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _refusal(reason: str) -> Response:
    return JSONResponse({"error": reason}, 503, {"Retry-After": "5", **NEVER})

"""`/metrics`: what Prometheus scrapes."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response

from ..engine import Engine
from ..observe.report import Reports, Values, report

_DOCUMENTED: dict[str, Any] = {
    "tags": ["server"],
    "summary": "Metrics for Prometheus",
    "response_class": Response,
    "responses": {200: {"description": "The text format of Prometheus",
                        "content": {"text/plain": {"schema": {"type": "string"}}}}},
}  # fmt: skip


def make_metrics_router(engine: Engine, reports: Reports | None = None) -> APIRouter:
    """The one route. reports: what it says, if not what this process alone has to say."""
    router = APIRouter()

    @router.get("/metrics", **_DOCUMENTED)
    async def metrics() -> Response:
        # The numbers are taken here, where nothing else counts meanwhile. Writing them
        # down takes milliseconds, for which nobody who infers need wait.
        values = await reports() if reports else engine_report(engine)
        body, content_type = await asyncio.to_thread(_rendered, values)
        return Response(body, media_type=content_type)

    return router


def engine_report(engine: Engine) -> Values:
    """What this process says of itself."""
    deployments, missing = [], []
    for status in engine.index():
        version = status.version or ""
        if status.state == "READY":
            deployments.append(engine.deployment(status.name, status.version))
        else:
            missing.append((status.name, version))
    return report(deployments, ready=engine.why_not_ready() is None, missing=missing)


def _rendered(values: Values) -> tuple[bytes, str]:
    # The client library is imported by the first scrape: starting need not wait for it.
    from ..observe.metrics import CONTENT_TYPE, rendered

    if "workers" in values:
        from ..workers.metrics import Processes

        return rendered(values, Processes(values)), CONTENT_TYPE
    return rendered(values), CONTENT_TYPE

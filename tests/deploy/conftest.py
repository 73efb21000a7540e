"""What the deployment files must agree with: the application's own account of itself."""

import httpx
import pytest

from serving.app import create_app


@pytest.fixture
async def paths() -> dict[str, dict[str, object]]:
    """Every path that the server has, as its OpenAPI document lists them."""
    transport = httpx.ASGITransport(app=create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://jitney") as client:
        reply = await client.get("/openapi.json")
    return reply.json()["paths"]

"""Everything over HTTP that is not inference itself: metadata, health, documentation."""

from .app import create_http_app

__all__ = ["create_http_app"]

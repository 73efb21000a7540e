"""The page at `/`: what is served, what it costs, how it fares, and a form to try it."""

from .routes import make_web_router

__all__ = ["make_web_router"]

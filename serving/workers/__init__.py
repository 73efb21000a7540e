"""Several processes that serve the same models on one port, and are seen as one server.

 supervisor ──socket pair──► worker 0 ─┐
     │                                 ├─ listen on the same port, each on a socket of its own
     └───────socket pair──► worker 1 ──┘

The supervisor serves nobody and loads nothing. It starts workers, starts those that die
anew, and is the hub between them: what one is told to load all load, and who asks one
for metrics gets those of all.
"""

from .supervisor import CannotServe, supervise

__all__ = ["CannotServe", "supervise"]

"""The end of a deployment that no new request finds any more.

Requests that found it before are still on their way: their bodies are being read, or
they wait in its queue. It goes when the last of them has let go of it. Nobody counts
them, which would cost every request; Python does, by its references.
"""

import asyncio
import logging
import weakref
from contextlib import suppress

from batching import Batcher
from models import Runtime, Tensors, give_back_memory

from .deployment import Deployment

logger = logging.getLogger(__name__)


PATIENCE_S = 30.0
"""How long a request that found a deployment before may hold up its end, and then its run."""


class Retiring:
    """Deployments on their way out."""

    def __init__(self) -> None:
        self._ends: dict[asyncio.Task[None], Batcher[Tensors, Tensors] | None] = {}

    @property
    def batchers(self) -> list[Batcher[Tensors, Tensors]]:
        """Those of deployments that are not yet gone."""
        return [batcher for batcher in self._ends.values() if batcher is not None]

    def add(self, deployments: list[Deployment]) -> asyncio.Future[list[BaseException | None]]:
        """Let these end. The list is emptied: whoever goes on holding one holds it up.

        Gives what is done when their memory is free.
        """
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Task[None]] = []
        while deployments:
            deployment = deployments.pop()
            let_go = asyncio.Event()
            # The last reference may be dropped on any thread, by the garbage collector too.
            weakref.finalize(deployment, _tell, loop, let_go).atexit = False
            batcher, runtime = deployment.batcher, deployment.model.runtime
            end = asyncio.create_task(self._end(let_go, batcher, runtime), name="retire a model")
            self._ends[end] = batcher
            end.add_done_callback(self._ends.pop)
            ends.append(end)
            del deployment, batcher, runtime
        return asyncio.gather(*ends, return_exceptions=True)

    async def _end(
        self, let_go: asyncio.Event, batcher: Batcher[Tensors, Tensors], runtime: Runtime
    ) -> None:
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(let_go.wait(), PATIENCE_S)  # 1. nobody comes
            await batcher.drain(PATIENCE_S)  # 2. what it has is answered
            await batcher.close()  # 3. no more runs; threads joined
        except Exception:
            logger.exception("a model that was replaced did not end well")
        finally:
            runtime.close()  # 4. the session is freed last
        # 5. and what is left refers to itself, but nobody else to it
        task = asyncio.current_task()
        assert task is not None
        self._ends[task] = None
        del batcher, runtime
        await asyncio.to_thread(give_back_memory)

    async def close(self) -> None:
        """End all of them now. Their batchers are closed already."""
        ends = list(self._ends)
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


def _tell(loop: asyncio.AbstractEventLoop, let_go: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody listens any more
        loop.call_soon_threadsafe(let_go.set)

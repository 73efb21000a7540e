"""The client for code that blocks."""

import asyncio
import ssl
import threading
import time
from collections.abc import Coroutine, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from .answer import Answer
from .asynchronous import AsyncClient
from .core import Core, Options
from .effects import Flow, Pause
from .errors import JitneyError
from .metadata import ModelMetadata, ModelState
from .retry import RetryBudget
from .sockets import Sockets
from .windows import Errors, InferOptions, check, outcome, over_blocking
from .wire import Question, inputs_of

T = TypeVar("T")


class Client:
    """Asks one server. Any number of threads may share it.

    Every call raises JitneyError where there is no answer; see serving.client.errors.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        timeout_s: float | None = None,
        retries: int = 2,
        retry_budget: RetryBudget | None = None,
        headers: Mapping[str, str] | None = None,
        max_connections: int = 256,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """The same as AsyncClient's."""
        options = Options(
            url=url,
            timeout_s=timeout_s,
            retries=retries,
            retry_budget=retry_budget,
            headers=headers,
            max_connections=max_connections,
            ssl_context=ssl_context,
        )
        self._core = Core(options)
        self._sockets = Sockets(self._core)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; those of calls under way when these are done."""
        self._sockets.close()

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        version: str | int | None = None,
        outputs: Sequence[str] | None = None,
        timeout_s: float | None = None,
        priority: int | None = None,
        request_id: str | None = None,
        **arrays: Any,
    ) -> Answer:
        """Run the model: inputs by name, in a mapping or as arguments; outputs by name.

        The same as AsyncClient.infer.
        """
        question = Question(
            model, inputs_of(inputs, arrays), version, outputs, priority, request_id
        )
        return self._done(self._core.infer(question, timeout_s))

    @overload
    def map(
        self,
        model: str,
        inputs: Iterable[Any],
        /,
        *,
        concurrency: int = ...,
        ordered: bool = ...,
        errors: Literal["raise"] = ...,
        **options: Unpack[InferOptions],
    ) -> Generator[Answer, None, None]: ...

    @overload
    def map(
        self,
        model: str,
        inputs: Iterable[Any],
        /,
        *,
        concurrency: int = ...,
        ordered: bool = ...,
        errors: Literal["yield"],
        **options: Unpack[InferOptions],
    ) -> Generator[Answer | JitneyError, None, None]: ...

    def map(
        self,
        model: str,
        inputs: Iterable[Any],
        /,
        *,
        concurrency: int = 64,
        ordered: bool = True,
        errors: Errors = "raise",
        **options: Unpack[InferOptions],
    ) -> Generator[Any, None, None]:
        """Run the model on each of many inputs; the same as AsyncClient.stream, for a `for`.

        The requests are made by one thread that lives as long as the iteration does, so that
        64 at a time cost one thread and not 64. `inputs` is read in the caller's own, and may
        block. Leaving the loop cancels what is under way; `close()` does so at once.
        """
        check(concurrency, errors)
        return self._mapped(model, inputs, concurrency, ordered, errors, options)

    def _mapped(
        self,
        model: str,
        inputs: Iterable[Any],
        concurrency: int,
        ordered: bool,
        errors: Errors,
        options: InferOptions,
    ) -> Generator[Any, None, None]:
        with _Background(AsyncClient._of(self._core)) as background:
            background.begin(background.client._learn(model, options)).result()
            ask = partial(_infer, background.client, model, options)

            def begin(item: Any, index: int) -> Future[Any]:
                return background.begin(outcome(ask, item, index, errors))

            yield from over_blocking(inputs, begin, concurrency=concurrency, ordered=ordered)

    def metadata(
        self, model: str, *, version: str | int | None = None, timeout_s: float | None = None
    ) -> ModelMetadata:
        """What the model takes and gives."""
        return self._done(self._core.metadata(model, version, timeout_s)).metadata

    def models(self, *, timeout_s: float | None = None) -> list[ModelState]:
        """All models, ready or not, in all their versions."""
        return self._done(self._core.models(timeout_s))

    def ready(self, model: str | None = None, *, timeout_s: float = 5.0) -> bool:
        """Whether the server, or the model, answers."""
        return not self._done(self._core.ready(model, timeout_s))

    def wait_ready(self, timeout_s: float, model: str | None = None) -> None:
        """Return when the server, or the model, answers; raises DeadlineExceeded."""
        self._done(self._core.wait_ready(model, timeout_s))

    def _done(self, flow: Flow[T]) -> T:
        """Do what the flow asks for, until it has its end."""
        try:
            wanted = next(flow)
            while True:
                if isinstance(wanted, Pause):
                    time.sleep(wanted.delay_s)
                    wanted = flow.send(None)
                else:
                    wanted = flow.send(self._sockets.ask(wanted))
        except StopIteration as end:
            result: T = end.value
            return result


async def _infer(client: AsyncClient, model: str, options: InferOptions, item: Any) -> Answer:
    return await client.infer(model, item, **options)


class _Background:
    """A thread with an event loop in which a client asks, while the block runs."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self._ready = threading.Event()
        # Nobody need wait for it who has forgotten an iteration.
        self._thread = threading.Thread(target=self._run, name="jitney-client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def begin(self, call: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        async with self.client:
            await self._stop.wait()

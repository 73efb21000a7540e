"""The client for code that awaits."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from .answer import Answer
from .core import Core, Options
from .effects import Flow, Pause
from .errors import JitneyError
from .metadata import ModelMetadata, ModelState
from .retry import RetryBudget
from .streams import Streams
from .windows import Errors, InferOptions, Source, over
from .wire import Question, inputs_of

T = TypeVar("T")


class AsyncClient:
    """Asks one server. Any number of tasks of one event loop may share it.

    Every call raises JitneyError where there is no answer; see serving.client.errors. A call
    that is cancelled closes its connection, and the server drops the request from its queue.
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
        """
        timeout_s: for calls that do not say themselves. Without one the server's own rule
        holds, and a call is given up after 60 s.
        retries: how often a call may be sent again.
        retry_budget: to share one among clients.
        headers: sent with every request.
        max_connections: more calls at a time wait for one that is free.
        ssl_context: for https; None trusts what the system trusts.

        Raises ValueError for what cannot be.
        """
        options = Options(
            url=url,
            timeout_s=timeout_s,
            retries=retries,
            retry_budget=retry_budget,
            headers=headers,
            max_connections=max_connections,
            ssl_context=ssl_context,
        )
        self._begin(Core(options))

    @classmethod
    def _of(cls, core: Core) -> Self:
        """One that knows what another client knows, and shares its retry budget."""
        client = cls.__new__(cls)
        client._begin(core)
        return client

    def _begin(self, core: Core) -> None:
        self._core = core
        self._streams = Streams(core)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. Calls under way fail."""
        await self._streams.close()

    async def infer(
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

        An input may be whatever numpy makes an array of. It goes into the model's type if
        nothing is lost by that. Its shape is sent as it is, the axis of rows included.

        outputs: only these. timeout_s: for all attempts together, at the server too.
        priority: 1 is the most urgent, 5 usual. request_id: comes back as the answer's id.
        """
        question = Question(
            model, inputs_of(inputs, arrays), version, outputs, priority, request_id
        )
        return await self._done(self._core.infer(question, timeout_s))

    @overload
    def stream(
        self,
        model: str,
        inputs: Source,
        /,
        *,
        concurrency: int = ...,
        ordered: bool = ...,
        errors: Literal["raise"] = ...,
        **options: Unpack[InferOptions],
    ) -> AsyncGenerator[Answer, None]: ...

    @overload
    def stream(
        self,
        model: str,
        inputs: Source,
        /,
        *,
        concurrency: int = ...,
        ordered: bool = ...,
        errors: Literal["yield"],
        **options: Unpack[InferOptions],
    ) -> AsyncGenerator[Answer | JitneyError, None]: ...

    def stream(
        self,
        model: str,
        inputs: Source,
        /,
        *,
        concurrency: int = 64,
        ordered: bool = True,
        errors: Errors = "raise",
        **options: Unpack[InferOptions],
    ) -> AsyncGenerator[Any, None]:
        """Run the model on each of many inputs, mappings of name to value; `async for` the answers.

        At most `concurrency` inputs are out of the source and not yet answered and taken: a
        source without an end is fine. With ordered=False answers come as they are there;
        their `index` says to which input each belongs. A failure ends the stream, or comes in
        the place of its answer with errors="yield". `aclose()`, or leaving the loop, cancels
        what is under way.

        inputs: iterable or async iterable; the former must not block. options: as for `infer`;
        timeout_s is for each input.
        """
        return over(
            inputs,
            lambda item: self.infer(model, item, **options),
            concurrency=concurrency,
            ordered=ordered,
            errors=errors,
            before=lambda: self._learn(model, options),
        )

    async def _learn(self, model: str, options: InferOptions) -> None:
        """Ask once what the model takes, before many calls would each ask it."""
        version = options.get("version")
        if (model, version) not in self._core.known:
            with suppress(JitneyError):  # which every call meets by itself
                await self.metadata(model, version=version, timeout_s=options.get("timeout_s"))

    async def metadata(
        self, model: str, *, version: str | int | None = None, timeout_s: float | None = None
    ) -> ModelMetadata:
        """What the model takes and gives."""
        known = await self._done(self._core.metadata(model, version, timeout_s))
        return known.metadata

    async def models(self, *, timeout_s: float | None = None) -> list[ModelState]:
        """All models, ready or not, in all their versions."""
        return await self._done(self._core.models(timeout_s))

    async def ready(self, model: str | None = None, *, timeout_s: float = 5.0) -> bool:
        """Whether the server, or the model, answers."""
        return not await self._done(self._core.ready(model, timeout_s))

    async def wait_ready(self, timeout_s: float, model: str | None = None) -> None:
        """Return when the server, or the model, answers; raises DeadlineExceeded."""
        await self._done(self._core.wait_ready(model, timeout_s))

    async def _done(self, flow: Flow[T]) -> T:
        """Do what the flow asks for, until it has its end."""
        try:
            wanted = next(flow)
            while True:
                if isinstance(wanted, Pause):
                    await asyncio.sleep(wanted.delay_s)
                    wanted = flow.send(None)
                else:
                    wanted = flow.send(await self._streams.ask(wanted))
        except StopIteration as end:
            result: T = end.value
            return result

"""Each call of the service, on its way to the engine and back."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias
from urllib.parse import quote

import grpc

from ..engine import Engine
from ..errors import message_of, retry_after, status_of
from ..management import Management
from ..observe.access import log_request
from ..observe.report import Reports
from ..observe.tracing import followed
from ..protocol import InvalidRequest
from ..timing import server_timing
from . import messages
from .access import METHOD, client_of, path_of
from .generated import inference_pb2 as pb
from .generated.inference_pb2_grpc import GRPCInferenceServiceServicer
from .stream import in_order

Context: TypeAlias = grpc.aio.ServicerContext

STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
MAX_DETAILS = 4096
"""Bytes. They travel as a header, of which clients take 8 KiB in all."""


class InferenceService(GRPCInferenceServiceServicer):
    """`inference.GRPCInferenceService`."""

    def __init__(self, engine: Engine, reports: Reports | None = None) -> None:
        self._engine = engine
        self._management = Management(engine, reports)
        self._logs = engine.settings.access_log

    async def ServerLive(self, _: Any, __: Context) -> pb.ServerLiveResponse:  # noqa: N802
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _: Any, __: Context) -> pb.ServerReadyResponse:  # noqa: N802
        return pb.ServerReadyResponse(ready=self._engine.why_not_ready() is None)

    async def ServerMetadata(self, _: Any, __: Context) -> pb.ServerMetadataResponse:  # noqa: N802
        return pb.ServerMetadataResponse(**self._management.server())

    async def ModelReady(  # noqa: N802
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        try:
            reason = self._engine.why_model_not_ready(request.name, version_in(request.version))
        except Exception as error:
            await refuse(context, error)
        return pb.ModelReadyResponse(ready=reason is None)

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        try:
            told = self._management.metadata(request.name, version_in(request.version))
            return pb.ModelMetadataResponse(**told)
        except Exception as error:
            await refuse(context, error)

    async def ModelConfig(  # noqa: N802
        self, request: pb.ModelConfigRequest, context: Context
    ) -> pb.ModelConfigResponse:
        try:
            told = self._management.config(request.name, version_in(request.version))
            return pb.ModelConfigResponse(config=told)
        except Exception as error:
            await refuse(context, error)

    async def ModelStatistics(  # noqa: N802
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        try:
            version = version_in(request.version)
            told = await self._management.statistics(request.name or None, version)
            return pb.ModelStatisticsResponse(**told)
        except Exception as error:
            await refuse(context, error)

    # --- the repository

    async def RepositoryIndex(  # noqa: N802
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        await self._only_one_repository(request, context)
        return pb.RepositoryIndexResponse(models=self._management.index(request.ready))

    async def RepositoryModelLoad(  # noqa: N802
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        await self._only_one_repository(request, context)
        try:
            await self._management.load(request.model_name, plain(request.parameters))
        except Exception as error:
            await refuse(context, error)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(  # noqa: N802
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        await self._only_one_repository(request, context)
        try:
            await self._management.unload(request.model_name, plain(request.parameters))
        except Exception as error:
            await refuse(context, error)
        return pb.RepositoryModelUnloadResponse()

    @staticmethod
    async def _only_one_repository(request: Any, context: Context) -> None:
        if request.repository_name:
            await context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                "repository_name: repositories have no names here; leave it out",
            )

    # --- inference

    async def ModelInfer(  # noqa: N802
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        # A caller who leaves has this task cancelled, and with it its place in the queue.
        try:
            response, timing = await self._infer(request, context)
        except Exception as error:
            await refuse(context, error)
        if timing:
            context.set_trailing_metadata((("server-timing", timing.decode()),))
        return response

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        async def answer(request: pb.ModelInferRequest) -> pb.ModelStreamInferResponse:
            began, code, message = time.perf_counter(), "OK", ""
            try:
                response, timing = await self._infer(request, context)
            except Exception as error:
                # The stream goes on: others' requests are on it too.
                response = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
                code, timing = status_of(error).grpc, None
                message = writable(message_of(error))
            if self._logs:
                self._log(request, context, code, timing, time.perf_counter() - began)
            # Who asks for streams of several answers each looks for the last one so.
            response.parameters["triton_final_response"].bool_param = True
            return pb.ModelStreamInferResponse(error_message=message, infer_response=response)

        async with aclosing(in_order(answer, requests)) as answers:
            async for response in answers:
                yield response

    @staticmethod
    def _log(
        request: pb.ModelInferRequest,
        context: Context,
        code: str,
        timing: bytes | None,
        took_s: float,
    ) -> None:
        """The line of one request of a stream; that of the stream comes at its end."""
        log_request(
            client=client_of(context.peer()),
            method=METHOD,
            path=path_of(STREAM, request),
            status=code,
            timing=(timing or b"").decode(),
            took_s=took_s,
        )

    async def _infer(
        self, message: pb.ModelInferRequest, context: Context
    ) -> tuple[pb.ModelInferResponse, bytes | None]:
        """The answer, and how it fared."""
        arrived = time.monotonic()
        version = version_in(message.model_version) if message.model_version else None
        deployment = self._engine.deployment(message.model_name, version)
        with followed(
            deployment.tracer,
            context.invocation_metadata() or (),
            model=deployment.name,
            version=deployment.version,
            arrived=arrived,
        ) as trace:
            try:
                request = messages.decode(message)
                deployment.outputs.check(request)
            except InvalidRequest as error:
                deployment.statistics.failed(error)
                raise
            timeout_s = request.timeout_s
            # None where the caller has set no deadline.
            if (left_s := context.time_remaining()) is not None:
                timeout_s = left_s if timeout_s is None else min(timeout_s, left_s)
            answer = await deployment.infer(
                request.inputs,
                arrived=arrived,
                timeout_s=timeout_s,
                priority=request.priority,
                trace=trace,
            )
            began = time.monotonic()
            response = messages.encode(
                deployment.name, deployment.version, request, answer.outputs, deployment.outputs
            )
            if answer.batch is None:
                return response, None
            encode_s = time.monotonic() - began
            return response, server_timing(answer.batch, answer.waited_s, encode_s)


async def refuse(context: Context, error: Exception) -> NoReturn:
    """End a call with an error's code, words and, where it helps, when to come back."""
    after = retry_after(error)
    await context.abort(
        grpc.StatusCode[status_of(error).grpc],
        details_of(error),
        (("retry-after", after.decode()),) if after else (),
    )
    raise AssertionError("unreachable: abort raises")


def details_of(error: Exception) -> str:
    """An error's message, as much of it as fits into a header, where all but ASCII is escaped."""
    message = writable(message_of(error))
    while len(quote(message)) > MAX_DETAILS:
        message = message[: len(message) * 3 // 4] + "…"
    return message


def writable(message: str) -> str:
    """A message without what no UTF-8 can hold."""
    return message.encode(errors="replace").decode()


def version_in(text: str) -> str | None:
    """The version in a request; None where it leaves the choice. Raises InvalidRequest."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidRequest(f"version: expected a whole number, got {text[:40]!r}")
    return text


def plain(parameters: Any) -> dict[str, object]:
    """A map of repository parameters with the values themselves; None where one is empty."""
    values: dict[str, object] = {}
    for name, parameter in parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        values[name] = getattr(parameter, kind) if kind else None
    return values

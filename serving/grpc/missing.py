"""The protocol's calls that this server does not have: told apart from what nobody knows."""

from typing import Any, Final

import grpc

SERVICE: Final = "/inference.GRPCInferenceService/"

_MEMORY = "this server has no shared memory; send tensors in the request itself"
_MISSING: Final = {
    "SystemSharedMemory": _MEMORY,
    "CudaSharedMemory": _MEMORY,
    "TraceSetting": "this server has no trace settings",
    "LogSettings": "this server's log cannot be set while it runs",
}


class MissingCalls(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers UNIMPLEMENTED, with a sentence instead of "Method not found!"."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        name = details.method.removeprefix(SERVICE)
        if name == details.method:
            return None
        says = next((says for begin, says in _MISSING.items() if name.startswith(begin)), None)
        if says is None:
            return None

        async def refuse(_: Any, context: grpc.aio.ServicerContext) -> None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, says)

        return grpc.unary_unary_rpc_method_handler(refuse)

"""A server is stopped while many callers use it, in a real process, and nobody is let down."""

import asyncio
import json
import random
import select
import signal
import time
from collections import Counter
from pathlib import Path

import grpc
import pytest

from serving.grpc.generated import inference_pb2 as pb
from serving.grpc.generated.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.support import onnx_models
from tests.support.door import post
from tests.support.server import Server, free_port, serving

CALLERS = 64
ROUNDS = 20
DRAIN_S = 5
BODY = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
).encode()
REQUEST = post(BODY, path="/v2/models/m/infer")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_models.doubler(tmp_path_factory.mktemp("stop") / "m.onnx")


def closed(writer: asyncio.StreamWriter) -> bool:
    """Whether an idle connection is at its end, though the event loop has not read that yet.

    This process may be late: whoever writes long after the end was never let down.
    """
    descriptor = writer.get_extra_info("socket").fileno()
    if descriptor < 0:
        return False  # it was reset, which writing will say
    look = select.poll()
    look.register(descriptor, select.POLLIN)
    return bool(look.poll(0))


class Callers:
    """They call on connections that are kept, some of them now and then only."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        self.counted: Counter[str] = Counter()
        self.told_to_leave = 0

    async def call(self, number: int) -> None:
        """One caller, until the server accepts no more connections."""
        dice = random.Random(number)
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                return
            try:
                while await self._ask(reader, writer):
                    if number % 2:
                        await asyncio.sleep(dice.random() * 0.02)
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection is there for another."""
        if reader.at_eof() or closed(writer):
            return False  # it was closed while nothing was under way
        head = b""
        try:
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            begun = head or getattr(error, "partial", b"")
            self.counted["cut off" if begun else "closed before any answer"] += 1
            return False
        status = int(head.split()[1])
        self.counted[str(status)] += 1
        if status == 200:
            assert json.loads(body)["outputs"][0]["data"] == [2, 4, 6, 8]
        leave = b"connection: close" in head.lower()
        self.told_to_leave += leave
        return not leave


async def stop_under_load(server: Server) -> Callers:
    callers = Callers(server.url)
    calling = [asyncio.create_task(callers.call(number)) for number in range(CALLERS)]
    while callers.counted["200"] < 5 * CALLERS:  # noqa: ASYNC110 - counted by others
        await asyncio.sleep(0.01)
    server.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        await asyncio.gather(*calling)
    return callers


async def test_sigterm_under_load_20_times(model: Path) -> None:
    """Lesson 20: requests are drained, not connections; and it is gone within its deadline."""
    all_counted: Counter[str] = Counter()
    told_to_leave = 0
    for _ in range(ROUNDS):
        with serving(model, "--drain", str(DRAIN_S)) as server:
            callers = await stop_under_load(server)
            began = time.monotonic()
            assert await asyncio.to_thread(server.process.wait, 60) == 0, server.output
            assert time.monotonic() - began < DRAIN_S + 5
            told_to_leave += callers.told_to_leave
            all_counted += callers.counted
    assert told_to_leave > 0
    assert all_counted["cut off"] == 0
    assert set(all_counted) <= {"200", "closed before any answer"}, all_counted
    # A request that crosses our close on its way was not accepted; but that is rare.
    assert all_counted["closed before any answer"] <= ROUNDS, all_counted


async def test_sigterm_under_load_over_grpc(model: Path) -> None:
    """What is accepted is answered; what is not is UNAVAILABLE, and never anything else."""
    port = free_port()
    with serving(model, "--grpc-port", str(port), "--drain", str(DRAIN_S)) as server:
        counted: Counter[str] = Counter()
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4]}
        request = pb.ModelInferRequest(
            model_name="m",
            inputs=[{**tensor, "contents": {"fp32_contents": [1, 2, 3, 4]}}],
        )
        async with grpc.aio.insecure_channel(server.grpc) as channel:
            stub = GRPCInferenceServiceStub(channel)

            async def caller() -> None:
                while True:
                    try:
                        await stub.ModelInfer(request, timeout=30)
                        counted["OK"] += 1
                    except grpc.aio.AioRpcError as error:
                        counted[error.code().name] += 1
                        return

            calling = [asyncio.create_task(caller()) for _ in range(16)]
            while counted["OK"] < 200:  # noqa: ASYNC110 - counted by others
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                await asyncio.gather(*calling)
        assert await asyncio.to_thread(server.process.wait, 60) == 0, server.output
    assert set(counted) == {"OK", "UNAVAILABLE"}, counted
